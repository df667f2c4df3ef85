"""A replica of a revision or a Deployment: a process, its port and its load."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum

from tidegate.local.errors import StartFailed
from tidegate.local.processes.probe import Readiness, wait_until_ready
from tidegate.local.processes.process import Exit, Process

# Enough to read a model of some hundred megabytes from a slow disk.
START_SECONDS = 60.0


class State(Enum):
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    LOST = "lost"
    STOPPED = "stopped"


@dataclass(slots=True, eq=False, kw_only=True)
class Replica:
    """A replica: `number` is the lowest free one, `reason` the cause of its start.

    Times are milliseconds since the process was spawned.
    """

    number: int
    port: int
    reason: str
    process: Process
    state: State = State.STARTING
    in_flight: int = 0
    since: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))
    ready_ms: float | None = None
    first_answer_ms: float | None = None
    closes: bool = False
    """Whether it has closed the connection of its last answer, or of a request without one."""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def age_ms(self) -> float:
        return round((time.monotonic() - self.process.spawned) * 1000, 1)

    def record_answer(self, *, closes: bool) -> None:
        self.closes = closes
        if self.first_answer_ms is None:
            self.first_answer_ms = self.age_ms()


async def wait_until_serving(replica: Replica, readiness: Readiness | None) -> None:
    """Wait until the replica is ready, which is immediate without a readiness check.

    Raises StartFailed if the process exits first, or is not ready after a minute.
    """
    if readiness is None:
        return
    probing = asyncio.create_task(wait_until_ready(readiness))
    try:
        waiting: set[asyncio.Future[None] | asyncio.Future[Exit]] = {probing, replica.process.exited}
        done, _ = await asyncio.wait(waiting, timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    finally:
        probing.cancel()
    name, log = replica.process.launch.name, replica.process.launch.log
    if replica.process.exited.done():
        raise StartFailed(f"{name} {replica.process.exited.result()} before it was ready: {replica.process.last_line()} (log: {log})")
    if not done:
        request = f"GET {readiness.path}" if readiness.path else "a connection"
        message = f"{name} did not answer {request} on the port in its variable PORT ({readiness.port}) within {START_SECONDS:g} s"
        raise StartFailed(f"{message} (log: {log})", remedy="let it listen on PORT, or fix its readinessProbe")
    if error := probing.exception():
        raise StartFailed(f"the readiness probe of {name} failed: {error!r} (log: {log})", remedy="fix its readinessProbe") from error


def free_port() -> int:
    """A free port.

    If another process takes it before the replica does, the replica exits, and the next one gets another port.
    """
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class LoadMeter:
    """A meter of the mean number of requests in the system, and of their rate, between two readings."""

    def __init__(self) -> None:
        self.current = 0
        self.total = 0
        self._area = 0.0
        self._at = self._read_at = time.monotonic()
        self._read_total = 0

    def enter(self) -> None:
        self._advance()
        self.current += 1
        self.total += 1

    def leave(self) -> None:
        self._advance()
        self.current -= 1

    def read(self) -> tuple[float, float, float]:
        """The current time, and since the last reading the mean number in the system and the requests per second."""
        self._advance()
        span = max(self._at - self._read_at, 1e-9)
        concurrency, rate = self._area / span, (self.total - self._read_total) / span
        self._area, self._read_at, self._read_total = 0.0, self._at, self.total
        return self._at, concurrency, rate

    def _advance(self) -> None:
        now = time.monotonic()
        self._area += self.current * (now - self._at)
        self._at = now


class Latencies:
    """Durations of the latest requests in milliseconds; percentiles are computed on demand."""

    def __init__(self, size: int = 5000) -> None:
        self._values: deque[float] = deque(maxlen=size)
        self.count = 0

    def add(self, milliseconds: float) -> None:
        self._values.append(milliseconds)
        self.count += 1

    def percentile(self, share: float) -> float | None:
        values = sorted(self._values)
        return round(values[min(int(share * len(values)), len(values) - 1)], 2) if values else None
