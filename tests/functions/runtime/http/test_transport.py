from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from functions.runtime.http.transport import Corked, WriteTimeout


class Loop:
    """An event loop whose time the test sets."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[list[Any]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, work: Callable[..., None], *arguments: Any) -> Any:
        timer = [self.now + delay, work, arguments]
        self.timers.append(timer)
        return type("Timer", (), {"cancel": lambda _: self.timers.remove(timer)})()

    def call_soon(self, work: Callable[..., None]) -> None:
        self.call_later(0, work)

    def run_until(self, time: float) -> None:
        while self.timers and (timer := min(self.timers, key=lambda item: item[0]))[0] <= time:
            self.timers.remove(timer)
            self.now = timer[0]
            timer[1](*timer[2])
        self.now = time


class Transport:
    def __init__(self, left: int = 0) -> None:
        self.left = left
        self.aborted = False
        self.calls: list[bytes] = []

    def get_write_buffer_size(self) -> int:
        return self.left

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return False

    def write(self, data: bytes) -> None:
        self.calls.append(data)


def made(left: int) -> tuple[Loop, Transport, WriteTimeout]:
    loop, transport = Loop(), Transport(left)
    timeout = WriteTimeout(
        cast("asyncio.Transport", transport), cast("asyncio.AbstractEventLoop", loop), idle_seconds=30, total_seconds=100
    )
    return loop, transport, timeout


def test_client_that_reads_nothing_is_aborted() -> None:
    loop, transport, timeout = made(1_000)
    timeout.paused()
    loop.run_until(29)
    assert not transport.aborted
    loop.run_until(30)
    assert transport.aborted
    assert not loop.timers


def test_slow_client_is_aborted_after_the_total_time() -> None:
    loop, transport, timeout = made(1_000)
    timeout.paused()
    for second in range(10, 100, 10):
        transport.left -= 10
        loop.run_until(second)
        assert not transport.aborted
    transport.left -= 10
    loop.run_until(100)
    assert transport.aborted


def test_response_in_parts_has_one_total_time() -> None:
    loop, transport, timeout = made(1_000)
    for second in (20, 40, 60, 80, 99):
        timeout.paused()
        loop.run_until(second)
        timeout.resumed(complete=False)
    timeout.paused()
    loop.run_until(100)
    assert transport.aborted


def test_next_response_has_a_new_total_time() -> None:
    loop, transport, timeout = made(1_000)
    timeout.paused()
    loop.run_until(20)
    timeout.resumed(complete=True)
    loop.run_until(1_000)
    timeout.paused()
    loop.run_until(1_029)
    assert not transport.aborted
    timeout.resumed(complete=True)
    assert not loop.timers


def test_small_writes_are_joined_and_large_ones_sent_at_once() -> None:
    loop, transport = Loop(), Transport()
    corked = Corked(cast("asyncio.Transport", transport), cast("asyncio.AbstractEventLoop", loop))
    large = bytes(100_000)
    corked.write(b"head")
    corked.write(b"")
    corked.write(b"body")
    loop.run_until(0)
    assert transport.calls == [b"headbody"]
    corked.write(b"head")
    corked.write(large)
    assert transport.calls[1:] == [b"head", large]
    assert transport.calls[-1] is large
