"""`python -m loadtest.stream`: the stream worker beside other ways, in one run, on an Apache Kafka of its own.

Every way moves the same records through the same model; rounds are interleaved. The broker is downloaded by Maven once,
the peers are installed once into environments of their own. Exit status: 0; 1 if the run failed or, with `--strict`, a
bar was missed; 130 if interrupted.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import orjson

from common.errors import TidegateError
from loadtest.stream import kills, latency, rates, report, worker
from loadtest.stream.records import Records
from loadtest.stream.results import Results, verdicts
from loadtest.stream.setup import Setup, everything
from loadtest.stream.ways import CLIENTS, WAYS, Way

_GROUPS = tuple(dict.fromkeys(way.group for way in WAYS))
RATES, LATENCY, KILLS, MEMORY, START, FAILING_KEY = PARTS = ("rates", "latency", "kills", "memory", "start", "failing-key")
_WORKER, _ROUTER = "worker", "router"
_STARTS = 5
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Wanted:
    """The parts of a run, and the ways that take part."""

    parts: frozenset[str]
    ways: tuple[Way, ...]

    def named(self, *names: str) -> list[Way]:
        return [way for way in self.ways if way.name in names]


def wanted(only: Sequence[str], client: str | None = None) -> Wanted:
    """Choose by names of parts and of groups of ways; without any of a kind, all of it. Peers have no client to choose."""
    parts = frozenset(PARTS).intersection(only) or frozenset(PARTS)
    groups = set(_GROUPS).intersection(only) or set(_GROUPS)
    return Wanted(parts, tuple(way for way in WAYS if way.group in groups and client in (None, way.client or client)))


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that SIGTERM ends the processes, too
    results = Results()
    status = 0
    try:
        _measure(options, results)
    except (TidegateError, OSError) as error:
        print(f"stream: {error}", file=sys.stderr)
        status = 1
    except KeyboardInterrupt:
        print("stream: interrupted", file=sys.stderr)
        results.notes.append("The run was interrupted; the figures are incomplete.")
        status = 130
    _show(results, options.out, options.rounds)
    missed = any(item.outcome == "missed" for item in verdicts(results))
    return status or int(options.strict and missed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m loadtest.stream", description="Measure the stream worker beside other ways.")
    parser.add_argument("--only", nargs="+", default=[], choices=[*PARTS, *_GROUPS], metavar="NAME", help=", ".join([*PARTS, *_GROUPS]))
    parser.add_argument("--client", choices=list(CLIENTS), help="only the ways with this client, and the peers")
    parser.add_argument("--rounds", type=int, default=3, help="of the rates (default: %(default)s)")
    parser.add_argument("--events", type=int, default=500_000, help="in the input of the rates (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=8.0, help="most of one measurement of a rate (default: %(default)g)")
    parser.add_argument("--rate", type=float, default=500.0, help="events a second for the latency (default: %(default)g)")
    parser.add_argument("--latency-seconds", type=float, default=20.0, help="default: %(default)g")
    parser.add_argument("--kills", type=int, default=3, help="SIGKILLs of each way (default: %(default)s)")
    parser.add_argument("--kill-events", type=int, default=100_000, help="default: %(default)s")
    parser.add_argument("--long", type=int, default=1_000_000, metavar="EVENTS", help="of the run for the memory (default: %(default)s)")
    parser.add_argument("--failing-seconds", type=float, default=60.0, help="that one key fails (default: %(default)g)")
    parser.add_argument(
        "--model", type=Path, default=Path("functions/flights/models/v1"), help="folder with model.yaml (default: %(default)s)"
    )
    parser.add_argument("--strict", action="store_true", help="fail if a bar is missed")
    parser.add_argument(
        "--out", type=Path, default=Path("loadtest/results/stream"), help="of logs, figures and peers (default: %(default)s)"
    )
    return parser


def _measure(options: argparse.Namespace, results: Results) -> None:
    options.out.mkdir(parents=True, exist_ok=True)
    chosen = wanted(options.only, options.client)
    with everything(options.model, options.out) as setup:
        for measure in (_rates, _latencies, _kills, _starts, _memory, _failing_key):
            measure(setup, options, chosen, results)


def _rates(setup: Setup, options: argparse.Namespace, chosen: Wanted, results: Results) -> None:
    if RATES not in chosen.parts:
        return
    topic = _filled(setup, options.events)
    results.rates |= {way.name: [] for way in chosen.ways}
    failed: set[str] = set()
    for number in range(options.rounds):
        first = number % max(len(chosen.ways), 1)
        for way in (*chosen.ways[first:], *chosen.ways[:first]):
            if way.name not in failed:
                found = _tried(way, results, lambda way=way: rates.rate(setup, way, topic, options.events, options.seconds))  # type: ignore[misc]
                results.rates[way.name].append(found)
                if found is None:
                    failed.add(way.name)
                else:
                    _say(f"round {number + 1}/{options.rounds}  {way.title}: {found.events:,.0f} events/s, {found.own_us:.1f} us each")
    setup.kafka.remove(topic)


def _latencies(setup: Setup, options: argparse.Namespace, chosen: Wanted, results: Results) -> None:
    if LATENCY not in chosen.parts:
        return
    for way in chosen.named(_WORKER, "worker-confluent", _ROUTER, "exactly-once"):
        found = _tried(way, results, lambda way=way: latency.latency(setup, way, options.rate, options.latency_seconds))  # type: ignore[misc]
        if found is not None:
            results.latencies[way.name] = found
            _say(f"{way.title} at {options.rate:g} events/s: p50 {found.p50:.1f} ms, p99 {found.p99:.1f} ms")


def _kills(setup: Setup, options: argparse.Namespace, chosen: Wanted, results: Results) -> None:
    if KILLS not in chosen.parts or not options.kills:
        return
    topic = _filled(setup, options.kill_events)
    for way in chosen.ways:
        if not way.killed:
            continue
        found = _tried(way, results, lambda way=way: kills.kept(setup, way, topic, options.kill_events, options.kills))  # type: ignore[misc]
        if found is not None:
            results.kept[way.name] = found
            _say(f"{way.title}: {found.kills} kills, {found.lost:,} events lost, {found.doubled:,} doubled")
    setup.kafka.remove(topic)


def _starts(setup: Setup, _: argparse.Namespace, chosen: Wanted, results: Results) -> None:
    if START not in chosen.parts:
        return
    topic = _filled(setup, 1_000)
    for way in chosen.named(_WORKER, "worker-confluent"):
        found = [_tried(way, results, lambda way=way: worker.first_output(setup, way, topic)) for _ in range(_STARTS)]  # type: ignore[misc]
        if times := [seconds for seconds in found if seconds is not None]:
            results.starts[way.name] = times
            _say(f"{way.title}: {', '.join(f'{seconds:.2f}' for seconds in times)} s to the first result")
    setup.kafka.remove(topic)


def _memory(setup: Setup, options: argparse.Namespace, chosen: Wanted, results: Results) -> None:
    if MEMORY not in chosen.parts or not options.long:
        return
    topic = _filled(setup, options.long)
    for way in chosen.named(_WORKER):
        found = _tried(way, results, lambda way=way: worker.memory(setup, way, topic, options.long))  # type: ignore[misc]
        if found is not None:
            results.memory[way.name] = found
            _say(f"{way.title}: peak {found.peak / 2**20:.0f} MiB over {found.events:,} events")
    setup.kafka.remove(topic)


def _failing_key(setup: Setup, options: argparse.Namespace, chosen: Wanted, results: Results) -> None:
    if FAILING_KEY not in chosen.parts:
        return
    for way in chosen.named(_WORKER):
        found = _tried(way, results, lambda way=way: worker.failing_key(setup, way, options.failing_seconds))  # type: ignore[misc]
        if found is not None:
            results.failing_key[way.name] = found
            _say(f"{way.title}: the other keys of a partition at {found:.2f} of their rate while one fails")


def _filled(setup: Setup, count: int) -> str:
    topic = setup.kafka.topic("departed")
    setup.kafka.fill(topic, Records(), count)
    return topic


def _tried(way: Way, results: Results, measure: Callable[[], Found]) -> Found | None:
    """Return a measurement; None, with a note, if the way failed: the others go on."""
    try:
        return measure()
    except TidegateError as error:
        _say(f"{way.title} failed: {error}")
        results.notes.append(f"{way.title} failed and was not measured further: {error}")
        return None


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _show(results: Results, out: Path, rounds: int) -> None:
    load = os.getloadavg()[0]
    conditions = {
        "cores": os.cpu_count(),
        "load": load,
        "rounds": rounds,
        "python": platform.python_version(),
        "system": platform.platform(),
    }
    print(f"{os.cpu_count()} cores, load {load:.1f} at the end, medians of {rounds} rounds\n")
    print("\n".join(report.lines(results)), flush=True)
    with suppress(OSError):
        (out / "results.json").write_bytes(orjson.dumps(report.document(results, conditions), option=orjson.OPT_INDENT_2))


if __name__ == "__main__":
    sys.exit(main())
