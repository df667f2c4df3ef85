"""`python -m loadtest.router.stickiness`: one key, one revision, over a million requests, replicas and restarts.

Three router processes watch one Kubernetes API. Each key is sent through all of them, as an event in a batch and as a
request of its own, while two of them are replaced by new processes, first with 5% of the keys for the canary and then
with 20%. A server behind the revisions says which of them a request has reached. Exit status: 0 if each key met one
revision at each percentage, none left the canary when that grew, and its shares of keys are what they should be.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import secrets
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from math import ceil, sqrt
from pathlib import Path

import orjson

from common.errors import TidegateError
from loadtest.compare.processes import Process, free_port, running
from loadtest.compare.wire import answer, request
from loadtest.router.platform import Platform, platform, service

STABLE, CANARY = "stable", "canary"
PERCENTS = (5, 20)
MODEL = "keyed"
_REPLICAS = 3
# The passes over all keys at each percentage, by replica: first all, then all again after the others were replaced, and
# the first one, which is never replaced, twice more. So it serves half of all requests, by which its memory is judged.
_PASSES: tuple[tuple[int, ...], ...] = ((0, 1, 2), (0, 1, 2), (0,), (0,))
_EACH = len(PERCENTS) * sum(map(len, _PASSES))
_BATCH_EVENTS = 256
# In each pass, one key of so many is sent alone, each in another pass.
_ALONE = 10
_CONNECTIONS = 4
_DEVIATIONS = 4.0
_PROBES = 2_000
_TOOK_SECONDS, _TICK_SECONDS = 30.0, 0.05
_JSON, _EVENT, _BATCH = (
    "Content-Type: application/json",
    "Content-Type: application/cloudevents+json",
    "Content-Type: application/cloudevents-batch+json",
)
Key = str | int


class NotSticky(TidegateError):
    """A router does not answer as it must."""


@dataclass(slots=True)
class Found:
    """What came of it: the tags that each key met, by percentage, and the requests by the way in which they were sent."""

    keys: dict[str, list[Key]]
    met: dict[int, dict[Key, set[str]]] = field(default_factory=dict)
    batched: int = 0
    alone: int = 0
    restarts: int = 0
    memory: tuple[int, int] = (0, 0)
    """Bytes of the first replica after its first pass, and at the end."""

    def torn(self, percent: int) -> list[Key]:
        """The keys that have met several revisions at a percentage."""
        return [key for key, tags in self.met[percent].items() if len(tags) != 1]

    def of_canary(self, percent: int) -> set[Key]:
        """The keys that have met the canary."""
        return {key for key, tags in self.met[percent].items() if CANARY in tags}

    def gone(self) -> set[Key]:
        """The keys that left the canary when it got more."""
        return self.of_canary(PERCENTS[0]) - self.of_canary(PERCENTS[1])

    def deviations(self, kind: str, percent: int) -> float:
        """How many standard deviations the canary's share of these keys is away from the percentage."""
        keys, weight = self.keys[kind], percent / 100
        share = len(self.of_canary(percent).intersection(keys)) / len(keys)
        return (share - weight) / sqrt(weight * (1 - weight) / len(keys))

    @property
    def is_sticky(self) -> bool:
        """Whether everything is as it must be."""
        torn = any(self.torn(percent) for percent in PERCENTS)
        shares = all(abs(self.deviations(kind, percent)) <= _DEVIATIONS for kind in self.keys for percent in PERCENTS)
        return not torn and not self.gone() and shares


class Routers:
    """The processes of the router, each of which can be replaced."""

    def __init__(self, api: str, sink: str, log: Path, ready: bytes) -> None:
        self._environ = {"TIDEGATE_HOST": "127.0.0.1", "TIDEGATE_KUBERNETES_API": api, "K_SINK": sink}
        self._log = log
        self._ready = ready
        self._stacks = [ExitStack() for _ in range(_REPLICAS)]
        self.processes = [self._start(stack) for stack in self._stacks]

    def replace(self, number: int) -> None:
        """End a process by SIGTERM, and start another one."""
        self._stacks[number].close()
        self.processes[number] = self._start(self._stacks[number])

    def close(self) -> None:
        for stack in self._stacks:
            stack.close()

    def _start(self, stack: ExitStack) -> Process:
        port = free_port()
        environ = self._environ | {"PORT": str(port)}
        return stack.enter_context(running([sys.executable, "-m", "functions.router"], environ, port, self._ready, self._log))


class Connection:
    """A kept connection to one replica."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def ask(self, message: bytes) -> bytes:
        """Return the body of the response. Raises NotSticky unless it is a success."""
        self._writer.write(message)
        received = b""
        while (found := answer(received)) is None or found.end > len(received):
            received += (part := await self._reader.read(2**18))
            if not part:
                raise NotSticky("a router has closed a connection.")
        body = received.partition(b"\r\n\r\n")[2]
        if found.status != 200:
            raise NotSticky(f"a router answered {found.status}: {body[:200].decode('utf-8', 'replace')}")
        return body

    def close(self) -> None:
        self._writer.close()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m loadtest.router.stickiness", description="Show which revisions each key meets.")
    parser.add_argument("--requests", type=int, default=1_000_000, help="requests, of which most are events (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="seed of the keys (default: random, printed)")
    options = parser.parse_args(arguments)
    seed = secrets.randbelow(1_000_000) if options.seed is None else options.seed
    try:
        with tempfile.TemporaryDirectory() as folder:
            found = asyncio.run(measure(keys_of(ceil(options.requests / _EACH), seed), Path(folder) / "log"))
    except (TidegateError, OSError) as error:
        print(f"stickiness: {error}", file=sys.stderr)
        return 1
    print("\n".join(_report(found, seed)))
    return 0 if found.is_sticky else 1


def keys_of(count: int, seed: int) -> dict[str, list[Key]]:
    """So many different keys of three kinds: strings, numbers, and a sequence."""
    chance = random.Random(seed)  # noqa: S311 no secret
    each = ceil(count / 3)
    return {
        "strings": [f"customer-{chance.getrandbits(64):016x}" for _ in range(each)],
        "numbers": list(chance.sample(range(2**30, 2**31), each)),
        "a sequence": list(range(each)),
    }


async def measure(keys: dict[str, list[Key]], log: Path) -> Found:
    """Send each key through all replicas at each percentage. Raises ServerFailed and NotSticky."""
    found = Found(keys)
    every = [key for kind in keys.values() for key in kind]
    with _started(log) as (api, upstream, routers):
        for percent in PERCENTS:
            api.change(_service(upstream, percent))
            await _until_taken(routers, percent)
            met = found.met[percent] = {key: set() for key in every}
            for number, replicas in enumerate(_PASSES):
                if number == 1:
                    for replica in range(1, _REPLICAS):
                        routers.replace(replica)
                        found.restarts += 1
                await asyncio.gather(*(_pass(routers.processes[replica].port, number + replica, every, met, found) for replica in replicas))
                if not found.memory[0]:
                    found.memory = routers.processes[0].resident(), 0
        found.memory = found.memory[0], routers.processes[0].resident()
    return found


@contextmanager
def _started(log: Path) -> Iterator[tuple[Platform, int, Routers]]:
    """Start the server behind the revisions, the API and the routers."""
    with ExitStack() as stack:
        upstream, ready = free_port(), request(f"/v2/models/{MODEL}/infer", b"{}")
        stack.enter_context(running([sys.executable, "-m", "loadtest.router.arms", str(upstream)], {}, upstream, ready, log))
        api = stack.enter_context(platform([_service(upstream, PERCENTS[0])]))
        # Each key is also observed for a rollout; this server takes anything.
        routers = Routers(api.url, f"http://127.0.0.1:{upstream}/", log, ready)
        stack.callback(routers.close)
        yield api, upstream, routers


def _service(upstream: int, percent: int) -> dict[str, object]:
    return service(MODEL, upstream, {STABLE: 100 - percent, CANARY: percent})


async def _until_taken(routers: Routers, percent: int) -> None:
    """Wait until all routers split by this percentage, as keys show that are not measured. Raises NotSticky."""
    probes: list[Key] = [f"probe-{number}" for number in range(_PROBES)]
    expected, spread = _PROBES * percent / 100, _DEVIATIONS * sqrt(_PROBES * percent / 100)
    for process in routers.processes:
        async with _connected(process.port) as connection, asyncio.timeout(_TOOK_SECONDS):
            while abs((await _tags_of_batch(connection, probes)).count(CANARY) - expected) > spread:  # noqa: ASYNC110 no event says so
                await asyncio.sleep(_TICK_SECONDS)


async def _pass(port: int, number: int, keys: Sequence[Key], met: dict[Key, set[str]], found: Found) -> None:
    """Send each key once through one replica, over several connections."""
    alone = [key for index, key in enumerate(keys) if (index + number) % _ALONE == 0]
    batched = [key for index, key in enumerate(keys) if (index + number) % _ALONE]
    jobs = iter([*_in_batches(batched), *([key] for key in alone)])

    async def work() -> None:
        async with _connected(port) as connection:
            for job in jobs:
                tags = await _tags_of_batch(connection, job) if len(job) > 1 else [await _tag_of(connection, job[0], number)]
                for key, tag in zip(job, tags, strict=True):
                    met[key].add(tag)

    await asyncio.gather(*(work() for _ in range(_CONNECTIONS)))
    found.batched += len(batched)
    found.alone += len(alone)


def _in_batches(keys: Sequence[Key]) -> Iterable[Sequence[Key]]:
    return (keys[begin : begin + _BATCH_EVENTS] for begin in range(0, len(keys), _BATCH_EVENTS))


async def _tags_of_batch(connection: Connection, keys: Sequence[Key]) -> list[str]:
    """The tag that the event of each key has met, in a batch."""
    events = [_event(key, id_) for id_, key in enumerate(keys)]
    replies = orjson.loads(await connection.ask(request(f"/models/{MODEL}", orjson.dumps(events), _BATCH)))
    if [reply["causationid"] for reply in replies] != [event["id"] for event in events]:
        raise NotSticky("the replies to a batch are not those to its events in their order.")
    return [reply["data"]["tag"] for reply in replies]


async def _tag_of(connection: Connection, key: Key, number: int) -> str:
    """The tag that a key has met alone: in a header of a request for rows, or in an event of either mode."""
    event = _event(key, number)
    ways = (
        request(f"/v2/models/{MODEL}/infer", b"{}", _JSON, f"Tidegate-Routing-Key: {key}"),
        request(f"/models/{MODEL}", orjson.dumps(event), _EVENT),
        request(f"/models/{MODEL}", b"{}", _JSON, *(f"ce-{name}: {value}" for name, value in event.items() if name != "data")),
    )
    tag: str = orjson.loads(await connection.ask(ways[number % len(ways)]))["tag"]
    return tag


def _event(key: Key, id_: int) -> dict[str, object]:
    return {"specversion": "1.0", "id": str(id_), "source": "/loadtest", "type": "asked", "partitionkey": key, "data": {}}


@asynccontextmanager
async def _connected(port: int) -> AsyncIterator[Connection]:
    connection = Connection(*await asyncio.open_connection("127.0.0.1", port))
    try:
        yield connection
    finally:
        connection.close()


def _report(found: Found, seed: int) -> Iterator[str]:
    total, keys = found.batched + found.alone, sum(map(len, found.keys.values()))
    yield (
        f"{total:,} requests, --seed {seed}: {found.batched:,} events in batches of {_BATCH_EVENTS}, {found.alone:,} requests alone; "
        f"{keys:,} keys, each {_EACH} times, through {_REPLICAS} replicas, of which {found.restarts} were replaced"
    )
    for percent in PERCENTS:
        yield f"keys that met several revisions at {percent}%: {len(found.torn(percent))}"
    moved = found.of_canary(PERCENTS[1]) - found.of_canary(PERCENTS[0])
    yield f"from {PERCENTS[0]} to {PERCENTS[1]}%: {len(moved):,} keys moved to the canary, {len(found.gone())} left it"
    yield "\n| keys | number | at 5%: canary | standard deviations | at 20%: canary | standard deviations |\n|---|---|---|---|---|---|"
    for kind, listed in found.keys.items():
        cells = [f"{_share(found, kind, percent)} | {found.deviations(kind, percent):+.2f}" for percent in PERCENTS]
        yield f"| {kind} | {len(listed):,} | {' | '.join(cells)} |"
    before, after = (size / 2**20 for size in found.memory)
    served = total * sum(0 in replicas for replicas in _PASSES) // sum(map(len, _PASSES))
    yield f"\nmemory of the router that was not replaced: {before:.1f} MiB after its first pass, {after:.1f} MiB after {served:,} requests"


def _share(found: Found, kind: str, percent: int) -> str:
    keys = found.keys[kind]
    return f"{100 * len(found.of_canary(percent).intersection(keys)) / len(keys):.2f}%"


if __name__ == "__main__":
    sys.exit(main())
