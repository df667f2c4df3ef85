"""`python -m loadtest.router.changes`: requests at a steady rate, while releases and restarts change what answers them.

A `tidegate up` of its own runs the example behind the router. Revisions of the model are deployed, get changing
weights, and are promoted or rolled back; processes of router and model are replaced. Then replicas are killed: what
that costs is counted apart. Exit status: 0 if no request has failed before the first kill, else 1.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import secrets
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from signal import SIGKILL
from typing import Any

from common import http_client
from common.errors import TidegateError
from loadtest.router.disturbances import KILLED_FUNCTION, KILLED_ROUTER, Releases, Replacements, repeated
from loadtest.router.installation import MODEL, ROUTER, Installation, installed
from loadtest.router.traffic import Answers, Requests, Traffic

_KILLS = {KILLED_ROUTER: ROUTER, KILLED_FUNCTION: MODEL}


@dataclass(frozen=True, slots=True)
class Given:
    """What is to be done: `pause` is the mean time between two changes, in seconds, `kills` those of each kind.

    There are at least `least` replacements and half as many releases, with more requests if these take longer.
    """

    requests: int
    rate: float
    kills: int
    pause: float
    least: int
    seed: int
    models: Path


@dataclass(slots=True)
class Found:
    """What came of it. `costs` are the requests that failed with each kill; `replicas` were started and stopped."""

    answers: Answers
    changes: Counter[str]
    replicas: dict[str, tuple[int, int]]
    seconds: float
    killed: Answers
    costs: dict[str, list[int]]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.router.changes", description="Change what answers requests, and count those that fail."
    )
    parser.add_argument("--requests", type=int, default=60_000, help="requests (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=150.0, help="requests per second, at most (default: %(default)g)")
    parser.add_argument("--kills", type=int, default=10, help="SIGKILLs of each kind of replica (default: %(default)s)")
    parser.add_argument("--pause", type=float, default=2.0, help="mean seconds between two changes (default: %(default)g)")
    parser.add_argument("--least", type=int, default=4, help="replacements at least, with half as many releases (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="seed of requests and changes (default: random, printed)")
    parser.add_argument("--models", type=Path, default=Path("functions/flights/models"), help="with v1 and v2 (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="where state and logs are kept (default: a temporary folder)")
    options = parser.parse_args(arguments)
    seed = secrets.randbelow(1_000_000) if options.seed is None else options.seed
    given = Given(options.requests, options.rate, options.kills, options.pause, options.least, seed, options.models)
    try:
        with tempfile.TemporaryDirectory() as temporary:
            found = asyncio.run(measure(given, options.folder or Path(temporary)))
    except (TidegateError, OSError) as error:
        print(f"changes: {error}", file=sys.stderr)
        return 1
    print("\n".join(_report(given, found)))
    return 1 if found.answers.failed else 0


async def measure(given: Given, folder: Path) -> Found:
    """Send all requests while everything changes, then kill. Raises GatewayFailed and Refused."""
    async with installed(folder, given.models, rate=given.rate) as place, http_client.session(timeout_seconds=None) as client:
        traffic = Traffic(place.router, Requests(MODEL, given.seed), client)
        releases = Releases(place, given.models, _chance(given, 1), given.pause)
        replacements = Replacements(place, traffic, _chance(given, 2), given.rate)
        await releases.begin()
        await place.replicas_of(ROUTER, 1)
        began = time.monotonic()
        ending = asyncio.Event()
        await _while(
            traffic.send(given.requests, given.rate),
            ending,
            repeated(releases.release, ending, _chance(given, 3), pause=given.pause, least=given.least // 2),
            repeated(replacements.replace, ending, _chance(given, 4), pause=given.pause, least=given.least),
            then=lambda: traffic.send(ceil(given.rate), given.rate),
        )
        seconds = time.monotonic() - began
        replicas = {name: await place.starts(name) for name in (ROUTER, MODEL)}
        killed = Traffic(place.router, Requests(MODEL, given.seed + 1), client)
        costs = await _kill(given, place, killed)
        return Found(traffic.answers, releases.counts + replacements.counts, replicas, seconds, killed.answers, costs)


async def _while(
    load: Awaitable[None], ending: asyncio.Event, *changes: Coroutine[Any, Any, None], then: Callable[[], Awaitable[None]]
) -> None:
    """Change what is to be changed during a load, and go on with it until the last change is complete."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(change) for change in changes]
        await load
        ending.set()
        while not all(task.done() for task in tasks):
            await then()


async def _kill(given: Given, place: Installation, traffic: Traffic) -> dict[str, list[int]]:
    """Kill replicas of both kinds in turn during a load, and return the requests that failed with each."""
    costs: dict[str, list[int]] = {name: [] for name in _KILLS}
    replacements = Replacements(place, traffic, _chance(given, 5), given.rate)

    async def kill() -> None:
        for number in range(given.kills * len(_KILLS)):
            name = list(_KILLS)[number % len(_KILLS)]
            before = traffic.answers.failed
            await replacements.signal(name, _KILLS[name], SIGKILL)
            await traffic.settled()
            costs[name].append(traffic.answers.failed - before)

    def second() -> Awaitable[None]:
        return traffic.send(ceil(given.rate), given.rate)

    if given.kills:
        await _while(second(), asyncio.Event(), kill(), then=second)
    return costs


def _chance(given: Given, purpose: int) -> random.Random:
    """Random numbers for one purpose: they do not depend on how many others take."""
    return random.Random(f"{given.seed}/{purpose}")  # noqa: S311 no secret


def _report(given: Given, found: Found) -> Iterator[str]:
    answers = found.answers
    yield f"{answers.requests:,} requests in {found.seconds:.0f} s, --seed {given.seed}: {answers.failed:,} failed"
    yield from _answers(answers)
    yield "\n| change | times |\n|---|---|"
    yield from (f"| {name} | {count} |" for name, count in sorted(found.changes.items()))
    yield from (f"| replicas of {name} started, stopped | {begun}, {ended} |" for name, (begun, ended) in found.replicas.items())
    yield f"| revisions of the model that answered | {len(answers.revisions)} |"
    if given.kills:
        yield f"\nThen, while replicas were killed: {found.killed.requests:,} requests, {found.killed.failed:,} failed"
        yield from _answers(found.killed)
        yield "\n| kill | times | requests that failed | most at one |\n|---|---|---|---|"
        yield from (f"| {name} | {len(costs)} | {sum(costs)} | {max(costs)} |" for name, costs in found.costs.items())


def _answers(answers: Answers) -> Iterator[str]:
    yield "\n| request | status | answers |\n|---|---|---|"
    yield from (f"| {kind} | {status} | {count:,} |" for (kind, status), count in sorted(answers.statuses.items()))
    if answers.causes:
        yield ""
        yield from (f"- {count:,} times {cause}" for cause, count in answers.causes.most_common())


if __name__ == "__main__":
    sys.exit(main())
