"""One replica of a revision: a process, the port it listens on, and what passes through it."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum

from tidegate.local.errors import StartFailed
from tidegate.local.processes.probe import Readiness, until_ready
from tidegate.local.processes.process import Exit, Process

# A model of some hundred megabytes is read within this on a slow disk.
START_SECONDS = 60.0


class State(Enum):
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    LOST = "lost"
    STOPPED = "stopped"


@dataclass(slots=True, eq=False)
class Replica:
    """`number` is the lowest that was free, `reason` why it was started; times are milliseconds since the process was spawned."""

    number: int
    port: int
    reason: str
    process: Process
    state: State = State.STARTING
    in_flight: int = 0
    since: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))
    ready_ms: float | None = None
    first_answer_ms: float | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def age_ms(self) -> float:
        return round((time.monotonic() - self.process.spawned) * 1000, 1)

    def answered(self) -> None:
        if self.first_answer_ms is None:
            self.first_answer_ms = self.age_ms()


async def until_serving(replica: Replica, readiness: Readiness | None) -> None:
    """Raises StartFailed when the process ends first, or says nothing for a minute. What has no readiness serves at once."""
    if readiness is None:
        return
    probing = asyncio.create_task(until_ready(readiness))
    try:
        waiting: set[asyncio.Future[None] | asyncio.Future[Exit]] = {probing, replica.process.exited}
        done, _ = await asyncio.wait(waiting, timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    finally:
        probing.cancel()
    name, log = replica.process.launch.name, replica.process.launch.log
    if replica.process.exited.done():
        raise StartFailed(f"{name} {replica.process.exited.result()} before it was ready: {replica.process.last_line()} (log: {log})")
    if not done:
        what = f"GET {readiness.path}" if readiness.path else "a connection"
        raise StartFailed(
            f"{name} did not answer {what} on the port in its variable PORT ({readiness.port}) within {START_SECONDS:g} s; "
            f"let it listen on PORT, or correct its readinessProbe (log: {log})"
        )
    if error := probing.exception():
        raise StartFailed(f"{name} cannot be asked whether it is ready: {error!r}; correct its readinessProbe (log: {log})") from error


def free_port() -> int:
    """A port that nobody has now. Another may take it before the replica does; then the replica ends, and the next gets another."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class LoadMeter:
    """The mean number of requests in the system, and how many came, between two readings."""

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
        """Now, the mean number in the system, and requests a second, since the last reading."""
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
    """The latest requests' durations in milliseconds; percentiles are computed when somebody asks."""

    def __init__(self, size: int = 5000) -> None:
        self._values: deque[float] = deque(maxlen=size)
        self.count = 0

    def add(self, milliseconds: float) -> None:
        self._values.append(milliseconds)
        self.count += 1

    def percentile(self, share: float) -> float | None:
        values = sorted(self._values)
        return round(values[min(int(share * len(values)), len(values) - 1)], 2) if values else None
