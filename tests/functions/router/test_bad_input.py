"""Input that no well-behaved client, revision or API sends: each is refused with a sentence, or bounded."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp
import orjson
import pytest

from tests.functions.router.flights import BATCH, INFER, echo, owner, rows, score, service

if TYPE_CHECKING:
    from tests.functions.router.conftest import StartProcess, StartRouter, StartServer

LINE = f"POST {INFER} HTTP/1.1\r\n"
BREAKS = "a\r\nb\nc\rd"


@pytest.fixture
async def port(start_server: StartServer, start_process: StartProcess) -> int:
    """The port of a router's process."""
    _, found = await start_process(service(await start_server(echo), "v1"), TIDEGATE_HOST="127.0.0.1")
    return found


async def test_ambiguous_http_is_refused_and_reaches_no_revision(port: int) -> None:
    for head, sentence in (
        ("host: a\r\nhost: a\r\n\r\n", "more than one Host header"),
        ("host: a\r\nHOST: b\r\n\r\n", "more than one Host header"),
        ("host: a\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", "framing of its body"),
        ("host: a\r\ntransfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n0\r\n\r\n", "framing of its body"),
        ("host: a\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}", "not valid HTTP/1.1"),
        ("host: a\r\nce-subject: a\r\n b\r\n\r\n", "not valid HTTP/1.1"),
        ("host: a\r\nce-subject: a\rb\r\n\r\n", "not valid HTTP/1.1"),
        ("host: a\r\nce-subject: a\x00b\r\n\r\n", "not valid HTTP/1.1"),
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write((LINE + head).encode())
        answer = (await reader.read()).decode()
        writer.close()
        assert answer.startswith("HTTP/1.1 400 "), head
        assert sentence in answer, head
    async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{port}/metrics") as metrics:
        assert "tidegate_router_calls_total{" not in await metrics.text()


async def test_line_breaks_in_attributes_stay_in_them(
    start_server: StartServer, start_router: StartRouter, client: aiohttp.ClientSession
) -> None:
    entry = service(await start_server(score), "v1", "v2")
    url = await start_router(entry)
    events = [{"specversion": "1.0", "id": f"{n}{BREAKS}", "source": "/s", "type": BREAKS, "subject": f"{n}{BREAKS}"} for n in range(20)]
    async with client.post(f"{url}/models/flights", data=orjson.dumps(events), headers=BATCH) as answer:
        assert answer.status == 200
        replies = await answer.json(content_type=None)
    assert [reply["data"] for reply in replies] == [[owner(entry, event["subject"]), event["id"]] for event in events]
    url = await start_router(service(await start_server(echo), "v1", "v2"))
    binary = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t", "ce-subject": "a%0D%0Ax-evil: 1"}
    async with client.post(f"{url}/models/flights", data=b"", headers=binary) as answer:
        seen = (await answer.json())["headers"]
    assert (seen["ce-subject"], "x-evil" in seen) == ("a%0D%0Ax-evil: 1", False)


async def test_events_without_any_key_are_assigned_by_source_and_id(
    start_server: StartServer, start_router: StartRouter, client: aiohttp.ClientSession
) -> None:
    url = await start_router(service(await start_server(score), "v1", "v2"))
    events = [{"specversion": "1.0", "id": str(n), "source": "/s", "type": "t"} for n in range(50)]
    answers = []
    for sent in (events, events[::-1]):
        async with client.post(f"{url}/models/flights", data=orjson.dumps(sent), headers=BATCH) as answer:
            answers.append(dict(reversed(reply["data"]) for reply in await answer.json(content_type=None)))
    assert answers[0] == answers[1], "a retry reaches the same revision"
    assert set(answers[0].values()) == {"v1", "v2"}


@pytest.mark.parametrize("name", ["v9", BREAKS, "é", "x" * 5_000])
async def test_an_override_to_no_revision_lists_those_that_there_are(
    name: str, start_server: StartServer, start_router: StartRouter, client: aiohttp.ClientSession
) -> None:
    url = await start_router(service(await start_server(score), "v1", "v2"))
    listed = "it has flights-v1, v1, flights-v2, v2."
    if "\n" not in name:
        async with client.post(url + INFER, data=b"{}", headers={"Tidegate-Revision": name}) as answer:
            assert answer.status == 404
            assert listed in (await answer.json())["error"]
    event = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}
    events = orjson.dumps([event, {**event, "tidegaterevision": name}])
    # Not 404, which the senders of events retry.
    async with client.post(f"{url}/models/flights", data=events, headers=BATCH) as answer:
        assert answer.status == 422
        assert listed in (await answer.json(content_type=None))["detail"]


async def test_a_revision_that_sends_a_byte_at_a_time_is_given_up(
    start_server: StartServer, start_router: StartRouter, client: aiohttp.ClientSession
) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for byte in b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000000\r\n\r\n" + bytes(1_000_000):
            writer.write(bytes([byte]))
            await asyncio.sleep(0.01)

    async with await asyncio.start_server(drip, "127.0.0.1", 0) as server:
        url = await start_router(service(server.sockets[0].getsockname()[1], "v1", "v2"), request_seconds=0.5)
        for body in (b"{}", rows(50)):
            async with client.post(url + INFER, data=body) as answer:
                assert answer.status == 504
                assert "revision flights-v" in (await answer.json())["error"]


async def test_a_reply_of_10_gigabytes_takes_no_memory(start_server: StartServer, start_process: StartProcess) -> None:
    sent = 0
    stalled = asyncio.Event()

    async def huge(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (10 * 2**30))
        while True:
            writer.write(bytes(2**20))
            sent += 2**20
            try:
                async with asyncio.timeout(1):
                    await writer.drain()
            except TimeoutError:
                stalled.set()
                return

    async with await asyncio.start_server(huge, "127.0.0.1", 0) as server:
        _, port = await start_process(service(server.sockets[0].getsockname()[1], "v1"), TIDEGATE_HOST="127.0.0.1")
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=4_096)
        writer.write(f"{LINE}host: a\r\ncontent-length: 2\r\n\r\n{{}}".encode())  # and it reads nothing
        await stalled.wait()
        assert sent < 64 * 2**20, "what fits into the buffers of the sockets"
        async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{port}/metrics") as metrics:
            (resident,) = [line for line in (await metrics.text()).splitlines() if line.startswith("process_resident_memory_bytes ")]
        assert int(resident.split()[1]) < 128 * 2**20
        writer.transport.abort()
