"""The faults of a run, drawn from a seed: when, which, of what, for how long. No I/O.

Faults come in episodes: those of one overlap, and after it nothing is disturbed for long enough to see whether
everything moves again.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Part(StrEnum):
    """What a fault is of. Two faults of one thing do not overlap."""

    WORKER = "worker"
    BROKER = "broker"
    ROUTER = "router"
    FUNCTION = "function"
    TOPIC = "topic"


class Fault(StrEnum):
    """A kind of fault."""

    WORKER_KILLED = "SIGKILL of a worker"
    WORKER_KILLED_UNACKNOWLEDGED = "SIGKILL of a worker whose records the network held back"
    WORKER_STOPPED = "SIGSTOP of a worker beyond its session"
    WORKER_ISOLATED = "worker cut off from the brokers beyond its session"
    WORKER_STALLED = "network between a worker and the brokers stalls"
    WORKER_DROPPED = "connections of a worker to the brokers are reset"
    WORKER_DELAYED = "network between a worker and the brokers is slow"
    SINK_STALLED = "network between a worker and the model stalls"
    SINK_DROPPED = "connections of a worker to the model are reset"
    SINK_DELAYED = "network between a worker and the model is slow"
    WORKER_RESTARTED = "restart of a worker"
    WORKER_ADDED = "another worker joins and leaves"
    FUNCTION_KILLED = "SIGKILL of the model function"
    ROUTER_KILLED = "SIGKILL of the router"
    BROKER_RESTARTED = "restart of a broker"
    BROKER_KILLED = "SIGKILL of a broker"
    BROKER_STALLED = "network to a broker stalls"
    BROKER_DROPPED = "connections to a broker are reset"
    ANSWERS_429 = "the model answers 429"
    ANSWERS_500 = "the model answers 500"
    ANSWERS_503 = "the model answers 503"
    ANSWERS_504 = "the model answers 504"
    ANSWERS_GARBAGE = "the model answers with garbage"
    ANSWERS_HALF = "the model answers with half a body"
    ANSWERS_SHORT = "the model answers one event too few"
    ANSWERS_SOME = "the model fails some events of each batch"
    ANSWERS_SLOW = "the model answers some calls late"
    PARTITIONS_ADDED = "partitions are added"
    END_OF_TRANSACTION_HELD = "the end of a worker's transactions is held back"


_PARTS = {
    **dict.fromkeys(Fault, Part.WORKER),
    **{fault: Part.FUNCTION for fault in Fault if fault.name.startswith("ANSWERS")},
    **{fault: Part.BROKER for fault in Fault if fault.name.startswith("BROKER")},
    Fault.FUNCTION_KILLED: Part.FUNCTION,
    Fault.ROUTER_KILLED: Part.ROUTER,
    Fault.PARTITIONS_ADDED: Part.TOPIC,
}
_BEYOND_SESSION = {Fault.WORKER_STOPPED, Fault.WORKER_ISOLATED}
_KILLED = {Fault.WORKER_KILLED, Fault.WORKER_KILLED_UNACKNOWLEDGED}
_BROKER_DOWN = {Fault.BROKER_RESTARTED, Fault.BROKER_KILLED}
_BROKER_START_SECONDS = 6.0
# The network's faults end before the session does, with a margin; with most faults a worker is away for a while.
_SECONDS = (1.0, 5.0)
CALM_SECONDS = (10.0, 14.0)
_BETWEEN_SECONDS = (0.2, 2.5)
_LARGEST_EPISODE = 3
_FIRST_SECONDS = 2.0
# Often enough to meet what they are for: a worker that dies with unfinished work.
_COPIES = {Fault.WORKER_KILLED: 2, Fault.WORKER_STOPPED: 2, Fault.WORKER_KILLED_UNACKNOWLEDGED: 2, Fault.ANSWERS_SOME: 2}


@dataclass(frozen=True, slots=True)
class Step:
    """One fault."""

    at: float
    """Seconds after the first."""
    fault: Fault
    target: int
    """Which of the workers or brokers; 0 where there is only one."""
    seconds: float

    @property
    def part(self) -> Part:
        return _PARTS[self.fault]

    @property
    def until(self) -> float:
        return self.at + self.seconds

    def __str__(self) -> str:
        number = f" {self.target}" if self.part in {Part.WORKER, Part.BROKER} else ""
        return f"{self.fault.value}{number and f' ({self.part.value}{number})'}, {self.seconds:.1f} s"


@dataclass(frozen=True, slots=True)
class Setting:
    """What there is to disturb."""

    workers: int = 3
    brokers: int = 3
    router: bool = True
    exactly_once: bool = False
    session_seconds: float = 6.0
    calm_seconds: tuple[float, float] = CALM_SECONDS
    faults: tuple[Fault, ...] = ()
    """Only these kinds, if any are named."""

    def kinds(self) -> list[Fault]:
        absent = set()
        if not self.router:
            absent.add(Fault.ROUTER_KILLED)
        if not self.exactly_once:
            absent.add(Fault.END_OF_TRANSACTION_HELD)
        return [fault for fault in self.faults or Fault if fault not in absent]


def draw(seed: int, count: int, setting: Setting) -> list[Step]:
    """Return so many faults in the order of their time. Each kind comes before one comes again."""
    source = random.Random(seed)  # noqa: S311 not for secrets
    kinds = _kinds(source, setting)
    steps: list[Step] = []
    at = _FIRST_SECONDS
    while len(steps) < count:
        episode = _episode(source, kinds, min(count - len(steps), source.randint(1, _LARGEST_EPISODE)), at, setting)
        steps += episode
        at = max(_settled(step, setting) for step in episode) + source.uniform(*setting.calm_seconds)
    return steps


def _settled(step: Step, setting: Setting) -> float:
    """Return when nothing is disturbed any more: the group forgets a killed worker, and a broker has started."""
    if step.fault in _KILLED:
        return step.at + max(step.seconds, setting.session_seconds + step.seconds / 2)
    return step.until + (_BROKER_START_SECONDS if step.fault in _BROKER_DOWN else 0.0)


def _kinds(source: random.Random, setting: Setting) -> Iterator[Fault]:
    deck = [kind for kind in setting.kinds() for _ in range(_COPIES.get(kind, 1))]
    while True:
        source.shuffle(deck)
        yield from deck


def _episode(source: random.Random, kinds: Iterator[Fault], size: int, at: float, setting: Setting) -> list[Step]:
    """Return faults that overlap, of different things."""
    steps: list[Step] = []
    for _ in range(size):
        fault = next(kinds)
        if steps:
            at = min(at + source.uniform(*_BETWEEN_SECONDS), max(step.until for step in steps))
        free = _free(fault, steps, setting)
        if free:
            steps.append(Step(at, fault, source.choice(free), _seconds(source, fault, setting)))
        else:
            # Everything of its part is disturbed: it comes after that.
            at = max(step.until for step in steps)
            steps.append(Step(at, fault, source.randrange(_number(_PARTS[fault], setting)), _seconds(source, fault, setting)))
    return steps


def _free(fault: Fault, steps: list[Step], setting: Setting) -> list[int]:
    part = _PARTS[fault]
    taken = {step.target for step in steps if step.part is part}
    left = [target for target in range(_number(part, setting)) if target not in taken]
    # A majority of the brokers stays, and one worker.
    least = {Part.BROKER: setting.brokers, Part.WORKER: min(2, setting.workers)}.get(part, 1)
    return left if len(left) >= least else []


def _number(part: Part, setting: Setting) -> int:
    return {Part.WORKER: setting.workers, Part.BROKER: setting.brokers}.get(part, 1)


def _seconds(source: random.Random, fault: Fault, setting: Setting) -> float:
    session = setting.session_seconds
    if fault in _BEYOND_SESSION:
        return source.uniform(session + 1, session + 4)
    if fault is Fault.PARTITIONS_ADDED:
        return 0.0
    return source.uniform(_SECONDS[0], min(_SECONDS[1], session * 0.8))
