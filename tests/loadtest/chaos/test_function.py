from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request

from eventing.codecs import json
from eventing.event import Event
from eventing.types import INFERENCE_COMPLETED, INFERENCE_FAILED
from loadtest.chaos.function import FAULTS, PATH, Mode, application
from loadtest.chaos.workload import SOURCE, event_id, expected_id, score

Client = TestClient[Request, Application]
EVENTS = 200


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with TestClient(TestServer(application())) as found:
        yield found


async def infer(client: Client, reject: bool = False) -> list[Event]:
    async with client.post(PATH, data=batch(reject)) as response:
        response.raise_for_status()
        return json.decode_batch(await response.read())


def batch(reject: bool = False) -> bytes:
    attributes = {"specversion": "1.0", "source": SOURCE, "type": "t"}
    return json.encode_batch([Event({**attributes, "id": event_id(n)}, {"number": n, "reject": reject}) for n in range(EVENTS)])


async def fail(client: Client, mode: Mode, share: float = 1.0) -> None:
    async with client.post(FAULTS, json={"mode": mode, "share": share}) as response:
        assert response.status == 200


async def test_each_event_has_its_reply(client: Client) -> None:
    replies = await infer(client)
    assert [reply.value() for reply in replies] == [score(number) for number in range(EVENTS)]
    assert [reply.id for reply in replies] == [expected_id(number) for number in range(EVENTS)]
    assert {reply.type for reply in replies} == {INFERENCE_COMPLETED}
    assert {reply.value()["status"] for reply in await infer(client, reject=True)} == {422}


@pytest.mark.parametrize("status", [429, 500, 503, 504])
async def test_a_status_is_answered_until_it_ends(client: Client, status: int) -> None:
    await fail(client, Mode(str(status)))
    async with client.post(PATH, data=batch()) as response:
        assert response.status == status
        assert ("retry-after" in response.headers) == (status == 429)
    await fail(client, Mode.RIGHT)
    assert len(await infer(client)) == EVENTS


async def test_a_body_is_cut_replaced_or_short(client: Client) -> None:
    await fail(client, Mode.HALF)
    with pytest.raises(aiohttp.ClientPayloadError):
        await infer(client)
    await fail(client, Mode.GARBAGE)
    async with client.post(PATH, data=batch()) as response:
        assert response.status == 200
        assert b"html" in await response.read()
    await fail(client, Mode.SHORT)
    assert len(await infer(client)) == EVENTS - 1


async def test_some_events_of_a_batch_fail(client: Client) -> None:
    await fail(client, Mode.SOME)
    replies = await infer(client)
    failed = [reply for reply in replies if reply.type == INFERENCE_FAILED]
    assert 0 < len(failed) < EVENTS / 2
    assert {reply.value()["status"] for reply in failed} == {503}


async def test_a_share_of_the_calls_fails(client: Client) -> None:
    await fail(client, Mode.STATUS_503, share=0.5)
    statuses = set()
    for _ in range(100):
        async with client.post(PATH, data=batch()) as response:
            statuses.add(response.status)
    assert statuses == {200, 503}
