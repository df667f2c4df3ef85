"""The load generator: `python -m loadtest.compare.client` reads a Load from standard input and writes Figures.

It parses only the status and the length of a response, and sends prebuilt requests, so that the server is measured. Its
own limit is measured with every comparison, against a no-op server.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import sys
import time
from array import array
from collections import deque
from dataclasses import asdict
from typing import cast

import orjson
import uvloop

from loadtest.compare.load import Figures, Load, decode
from loadtest.compare.timer import Timer
from loadtest.compare.wire import Answer, answer
from loadtest.summary import quantile

# A request that was due within the measured time and is answered later than this after its end has failed.
_DRAIN_SECONDS = 20.0
_SLOWEST_RATE = 50.0
_PROGRESS_SECONDS = 0.5
_clock = time.perf_counter


class ClosedLoop:
    """A closed loop: each connection sends its next request after the response."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.latencies, self.lateness = array("d"), array("d")
        self.errors = self.pending = self.sent = 0
        self.began, self.ends = 0.0, math.inf
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def measure(self) -> Figures:
        connections = [await self._connect() for _ in range(self.load.connections)]
        self.began = _clock() + (0.0 if self.load.count else self.load.warmup)
        self.ends = math.inf if self.load.count else self.began + self.load.seconds
        patience = self.load.count / _SLOWEST_RATE if self.load.count else self.ends - _clock()
        cpu, wall = time.process_time(), _clock()
        self.begin(connections)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._done, patience + _DRAIN_SECONDS)
        self.errors += self.pending
        # If every connection was lost, the loop may have ended before it began.
        took, busy = max(min(_clock(), self.ends) - self.began, 1e-9), (time.process_time() - cpu) / (_clock() - wall)
        for connection in connections:
            connection.close()
        return self._figures(took, busy)

    def begin(self, connections: list[Connection]) -> None:
        for connection in connections:
            self.free(connection)

    def free(self, connection: Connection) -> None:
        """Send the next request over an idle connection."""
        now = _clock()
        if now < self.ends and not self._enough():
            self.pending += 1
            self.send(connection, now)

    def send(self, connection: Connection, due: float) -> None:
        requests = self.load.requests
        connection.send(requests[self.sent % len(requests)], due)
        self.sent += 1

    def finished(self, due: float, ok: bool) -> None:
        if self.began <= due < self.ends:
            if ok:
                self.latencies.append(_clock() - due)
            else:
                self.errors += 1
        self.pending -= 1

    def lost(self, connection: Connection) -> None:
        """Count the pending request of a closed connection as failed."""
        self.end_if_idle()

    def end_if_idle(self) -> None:
        if not self.pending and not self._done.done():
            self._done.set_result(None)

    def _enough(self) -> bool:
        return self.load.count is not None and self.sent >= self.load.count

    async def _connect(self) -> Connection:
        return (await asyncio.get_running_loop().create_connection(lambda: Connection(self), "127.0.0.1", self.load.port))[1]

    def _figures(self, seconds: float, busy: float) -> Figures:
        ordered, late = sorted(self.latencies), sorted(self.lateness)
        p50, p99, most = (1e3 * quantile(ordered, q) if ordered else math.inf for q in (0.5, 0.99, 1.0))
        late_p99 = 1e3 * quantile(late, 0.99) if late else 0.0
        return Figures(len(ordered), self.errors, seconds, len(ordered) / seconds, p50, p99, most, late_p99, busy)


class OpenLoop(ClosedLoop):
    """An open loop: requests are due independently of responses, and waiting for a connection counts as latency."""

    def begin(self, connections: list[Connection]) -> None:
        # In turn: the server would close a connection that is never used.
        self._free = deque(connections)
        self._waiting: deque[float] = deque()
        self._random = random.Random(1)  # noqa: S311 equal arrivals for every server
        self._timer = Timer()
        self._due = _clock()
        asyncio.get_running_loop().add_reader(self._timer.fd, self._arrive)
        self._arrive()

    def free(self, connection: Connection) -> None:
        if self._waiting:
            self.send(connection, self._waiting.popleft())
        else:
            self._free.append(connection)

    def lost(self, connection: Connection) -> None:
        if connection in self._free:
            self._free.remove(connection)
        super().lost(connection)

    def end_if_idle(self) -> None:
        if self._due >= self.ends:
            super().end_if_idle()

    def _arrive(self) -> None:
        while self._due < self.ends and self._due <= (now := _clock()):
            self.lateness.append(now - self._due)
            self.pending += 1
            self._waiting.append(self._due)
            if self._free:
                self.free(self._free.popleft())
            self._due += self._random.expovariate(cast("float", self.load.rate))
        if self._due < self.ends:
            self._timer.set(self._due)
        else:
            asyncio.get_running_loop().remove_reader(self._timer.fd)
            self.end_if_idle()


class Connection(asyncio.Protocol):
    """A connection with one request at a time."""

    def __init__(self, run: ClosedLoop) -> None:
        self._run = run
        self._buffer = b""
        self._answer: Answer | None = None
        self._due: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def send(self, request: bytes, due: float) -> None:
        self._due = due
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
        found = self._answer or answer(data)
        if found is None or len(data) < found.end:
            self._answer, self._buffer = found, data
            return
        self._answer, self._buffer = None, b""
        self._finish(found.status == 200)
        self._run.free(self)
        self._run.end_if_idle()

    def connection_lost(self, exc: Exception | None) -> None:
        self._finish(False)
        self._run.lost(self)

    def close(self) -> None:
        self._due = None
        self._transport.close()

    def _finish(self, ok: bool) -> None:
        if self._due is not None:
            due, self._due = self._due, None
            self._run.finished(due, ok)


async def _report(run: ClosedLoop) -> None:
    while True:
        await asyncio.sleep(_PROGRESS_SECONDS)
        _write({"done": len(run.latencies)})


def _write(message: dict[str, float]) -> None:
    sys.stdout.buffer.write(orjson.dumps(message) + b"\n")
    sys.stdout.buffer.flush()


async def measure(load: Load) -> Figures:
    run = ClosedLoop(load) if load.rate is None else OpenLoop(load)
    reporting = asyncio.create_task(_report(run))
    try:
        return await run.measure()
    finally:
        reporting.cancel()


if __name__ == "__main__":
    _write(asdict(uvloop.run(measure(decode(sys.stdin.buffer.read())))))
