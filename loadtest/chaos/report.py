"""What came of a run: a table for people, a JSON object for programs. No I/O."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from loadtest.chaos.checker import FAULTS
from loadtest.chaos.history import Cause
from loadtest.chaos.run import FEWEST_RESULTS, STALLED_SECONDS, Outcome


def table(outcome: Outcome) -> Iterator[str]:
    """Yield the lines of a Markdown table, then the examples of what is wrong."""
    run, verdict, progress = outcome.run, outcome.verdict, outcome.progress
    rows = [
        ("seed, client, delivery", f"{run.seed}, {run.parts.client}, {delivery(outcome)}"),
        ("brokers, workers, router", f"{run.parts.brokers}, {run.parts.workers}, {'yes' if run.parts.router else 'no'}"),
        ("events, faults, time", f"{verdict.events:,}, {len(outcome.disturbances)}, {outcome.seconds:.0f} s"),
        ("replies, dead letters", f"{verdict.replies:,}, {verdict.dead_letters:,}"),
        ("duplicates", _duplicates(outcome)),
        *((fault, f"{verdict.faults[fault]:,}") for fault in FAULTS),
        *([("results of aborted transactions, not read", f"{outcome.aborted:,}")] if run.parts.exactly_once else []),
        ("slowest heal", _seconds(progress.slowest)),
        (f"stalled for more than {STALLED_SECONDS:g} s", str(len(progress.stalled(STALLED_SECONDS)))),
        (f"fewest results in 60 s (at least {FEWEST_RESULTS})", "-" if progress.fewest is None else f"{progress.fewest:,}"),
        ("workers that ended by themselves", str(len(outcome.exits))),
        ("highest load average of this machine", f"{outcome.load:.1f}"),
        ("longest wait of this process for a processor", _seconds(outcome.waited)),
    ]
    yield "| | |"
    yield "|---|---|"
    for name, value in rows:
        yield f"| {name} | {value} |"
    for fault, examples in verdict.examples.items():
        for example in examples:
            yield f"{fault}: {example}"
    for problem in [*outcome.problems, *outcome.exits]:
        yield f"- {problem}"


def document(outcome: Outcome) -> dict[str, Any]:
    """Return everything that was measured."""
    run, verdict, progress = outcome.run, outcome.verdict, outcome.progress
    return {
        "seed": run.seed,
        "client": run.parts.client,
        "delivery": delivery(outcome),
        "brokers": run.parts.brokers,
        "workers": run.parts.workers,
        "router": run.parts.router,
        "session_seconds": run.parts.session_seconds,
        "events": verdict.events,
        "seconds": round(outcome.seconds, 1),
        "replies": verdict.replies,
        "dead_letters": verdict.dead_letters,
        "duplicates": {cause.value: count for cause, count in verdict.duplicates.items()},
        "duplicates_by_fault": dict(verdict.repeated),
        "wrong": {fault: verdict.faults[fault] for fault in FAULTS},
        "examples": verdict.examples,
        "slowest_heal_seconds": _finite(progress.slowest),
        "fewest_in_a_minute": progress.fewest,
        "heals": [{"after": heal.after, "seconds": _finite(heal.seconds), "judged": heal.judged} for heal in progress.heals],
        "faults": [{"fault": one.name, "began": one.began, "healed": one.healed} for one in outcome.disturbances],
        "aborted": outcome.aborted,
        "load": round(outcome.load, 1),
        "waited_seconds": round(outcome.waited, 2),
        "exits": list(outcome.exits),
        "problems": outcome.problems,
    }


def delivery(outcome: Outcome) -> str:
    return "exactly-once" if outcome.run.parts.exactly_once else "at-least-once"


def _duplicates(outcome: Outcome) -> str:
    found = outcome.verdict.duplicates
    causes = [f"{found[cause]:,} {'unexplained' if cause is Cause.NONE else f'after a {cause.value}'}" for cause in Cause if found[cause]]
    return f"{found.total():,}" + (f" ({', '.join(causes)})" if causes else "")


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s" if math.isfinite(value) else "never"


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, 2)
