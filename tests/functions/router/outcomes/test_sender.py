from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from eventing.codecs.http import Message
from functions.router.metrics import Metrics
from functions.router.outcomes.sender import Sender

if TYPE_CHECKING:
    from tests.functions.router.conftest import StartServer


class Receiver:
    """A sink that responds with these statuses, and then with 202."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.accepted: list[str] = []
        self.called = asyncio.Event()

    async def take(self, request: web.Request) -> web.StreamResponse:
        body = (await request.read()).decode()
        self.called.set()
        status = self.statuses.pop(0) if self.statuses else 202
        if status == 202:
            self.accepted.append(body)
        return web.Response(status=status)


def event(number: int, size: int = 1) -> Message:
    return Message({"ce-id": str(number)}, str(number).encode().rjust(size, b"0"))


async def test_events_are_sent_in_order_after_retries(start_server: StartServer) -> None:
    receiver, metrics = Receiver(503, 429, 202, 404), Metrics()
    async with Sender(f"http://127.0.0.1:{await start_server(receiver.take)}", metrics) as sender:
        for number in range(4):
            sender.put(event(number))
        await sender.flush(20)
    assert receiver.accepted == ["0", "1", "2", "3"]
    assert metrics.outcomes == {("sent",): 4}


async def test_an_event_that_is_rejected_does_not_stop_the_next(start_server: StartServer, caplog: pytest.LogCaptureFixture) -> None:
    receiver, metrics = Receiver(400, 413), Metrics()
    async with Sender(f"http://user:secret@127.0.0.1:{await start_server(receiver.take)}", metrics) as sender:
        for number in range(3):
            sender.put(event(number))
        await sender.flush(20)
    assert receiver.accepted == ["2"]
    assert metrics.outcomes == {("rejected",): 2, ("sent",): 1}
    (line,) = [record.getMessage() for record in caplog.records if "outcomes" in record.getMessage()]
    assert "responded 400; they are dropped; check that the sink takes CloudEvents" in line
    assert "secret" not in line


async def test_the_oldest_events_are_dropped_when_too_many_wait(start_server: StartServer) -> None:
    metrics = Metrics()
    receiver = Receiver()
    sender = Sender(f"http://127.0.0.1:{await start_server(receiver.take)}", metrics, most_events=3, most_bytes=100)
    for number in range(5):
        sender.put(event(number))
    assert (sender.queued, metrics.outcomes) == (3, {("dropped",): 2})
    sender.put(event(5, size=95))
    assert (sender.queued, metrics.outcomes) == (3, {("dropped",): 3})
    sender.put(event(6, size=300))
    assert (sender.queued, metrics.outcomes) == (1, {("dropped",): 6}), "one event is kept whatever its size"
    async with sender:
        await sender.flush(20)
    assert [body.lstrip("0") for body in receiver.accepted] == ["6"]


async def test_an_event_that_is_being_sent_is_not_dropped(start_server: StartServer) -> None:
    arrived, release = asyncio.Event(), asyncio.Event()
    accepted: list[bytes] = []

    async def take(request: web.Request) -> web.StreamResponse:
        arrived.set()
        await release.wait()
        accepted.append(await request.read())
        return web.Response(status=202)

    async with Sender(f"http://127.0.0.1:{await start_server(take)}", Metrics(), most_events=2) as sender:
        sender.put(event(0))
        await arrived.wait()
        sender.put(event(1))
        sender.put(event(2))
        release.set()
        await sender.flush(20)
    assert accepted == [b"0", b"2"]


async def test_a_sink_that_is_not_there_is_waited_for_only_so_long(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as held:  # its port refuses connections
        held.bind(("127.0.0.1", 0))
        async with Sender(f"http://127.0.0.1:{held.getsockname()[1]}", Metrics()) as sender:
            sender.put(event(0))
            await sender.flush(0.2)
    said = [record.getMessage() for record in caplog.records]
    assert any("cannot be reached" in line and "they are kept" in line for line in said)
    assert any("1 outcomes were not accepted" in line for line in said)


async def test_the_url_of_the_sink_is_called_as_it_is(start_server: StartServer) -> None:
    seen: list[tuple[str, str, str]] = []

    async def take(request: web.Request) -> web.StreamResponse:
        seen.append((request.raw_path, request.headers["Authorization"], request.headers["ce-id"]))
        return web.Response(status=202)

    async with Sender(f"http://user:secret@127.0.0.1:{await start_server(take)}/ns/broker?a=b%20c", Metrics()) as sender:
        sender.put(event(0))
        await sender.flush(20)
    assert seen == [("/ns/broker?a=b%20c", "Basic dXNlcjpzZWNyZXQ=", "0")]
