"""A rollout as text and tables for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from functions.rollout.findings import NAMES_OF_LOSSES, number
from tidegate.eventing_tables import table_of
from tidegate.rollouts.document import Document

_OF_EVIDENCE = {
    "errors": "canary has more errors",
    "rejections": "canary has more rejections",
    "slow": "canary is slower",
    "drift": "canary's scores differ",
    "disagreement": "shadow disagrees",
    "correctness": "canary is less correct",
    "better": "canary is more correct",
    "maximumErrors": "canary has few errors",
}
_OF_LABELS = {"repeated": "repeated", "unmatched": "match nothing", "notComparable": "are not comparable"}


def rendered(document: Document) -> RenderableType:
    """Everything about a rollout."""
    parts: list[RenderableType] = [Text(headline(document)), _arms(document), _evidence(document)]
    parts += [Text(line) for line in (labels(document), f"Next: {document['next']}", document["problem"]) if line]
    if document["silentSeconds"]:
        parts.append(Text(silence(document)))
    return Group(*parts)


def headline(document: Document) -> str:
    """The rollout in one line."""
    canary = document["arms"][1]["revision"]
    phase = document["phase"].replace("-", " ")
    steps = ", ".join(f"{step}%" for step in document["steps"])
    elapsed, deadline = duration(document["elapsedSeconds"]), duration(document["deadlineSeconds"])
    return f"{document['model']}: {canary} has {document['percent']}% of {steps}; {phase}, {elapsed} of {deadline}"


def silence(document: Document) -> str:
    seconds = duration(document["silentSeconds"])
    return f"Nothing has looked at this rollout for {seconds}: check that the component `rollout` is deployed and runs."


def labels(document: Document) -> str:
    """What became of the labels, if there are any."""
    found = document["labels"]
    counts = [(f"{found[name]:,} {what}", found[name]) for name, what in _OF_LABELS.items()]
    shown = ", ".join(text for text, count in counts if count)
    has_any = shown or any(arm["labelledKeys"] for arm in document["arms"])
    return f"Labels: {found['waiting']:,} predictions wait for theirs{f'; {shown}' if shown else ''}." if has_any else ""


def line(document: Document) -> str:
    """The rollout in one line with its counts and the strongest evidence, for output that is no terminal."""
    arms = "; ".join(
        f"{arm['revision']} {arm['percent']}%: {arm['requests']:,} requests, {arm['errors']:,} errors{_losses(document, arm)}"
        for arm in document["arms"]
    )
    strongest = max(document["evidence"], key=lambda one: one["eValue"] / one["threshold"], default=None)
    shown = f"; {_OF_EVIDENCE[strongest['metric']]}: {_of(strongest)}" if strongest else ""
    return " ".join(filter(None, (f"{arms}{shown}.", document["next"], document["problem"])))


def _losses(document: Document, arm: Document) -> str:
    if not arm["labelledKeys"]:
        return ""
    wrong = "" if arm["errorRate"] is None else f", {arm['errorRate']:.1%} wrong"
    return f", {NAMES_OF_LOSSES[document['labels']['loss']]} {arm['loss']:.4g}{wrong} of {arm['labelledKeys']:,} labelled keys"


def history(decisions: Sequence[Document]) -> RenderableType:
    """The decisions as a table."""
    table = table_of("time", "decision", "canary", "evidence", "why")
    for one in decisions:
        shown = _of(one) if one["threshold"] else ""
        table.add_row(one["at"], one["kind"], f"{one['percent']}%", shown, one["sentence"])
    return table


def duration(seconds: float) -> str:
    """A duration in its two largest units."""
    whole = int(seconds)
    for size, unit, smaller, name in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size}{unit}{rest}{name}" if rest else f"{whole // size}{unit}"
    return f"{whole}s"


def _arms(document: Document) -> Table:
    """The arms side by side."""
    stable, canary = document["arms"]
    table = table_of("", "stable", "canary")
    rows: list[tuple[str, Callable[[Document], str]]] = [
        ("revision", lambda arm: str(arm["revision"])),
        ("traffic", lambda arm: f"{arm['percent']}%"),
        ("requests", lambda arm: f"{arm['requests']:,}"),
        ("keys, about", lambda arm: f"{arm['keys']:,}"),
        *((name, partial(_rate, name)) for name in ("errors", "rejections", "slow")),
        ("cold", lambda arm: f"{arm['cold']:,}"),
        ("p50 / p99 ms", lambda arm: f"{_milliseconds(arm['p50Seconds'])} / {_milliseconds(arm['p99Seconds'])}"),
    ]
    if stable["labelledKeys"] or canary["labelledKeys"]:
        rows += [
            ("labelled keys", lambda arm: f"{arm['labelledKeys']:,}"),
            (NAMES_OF_LOSSES[document["labels"]["loss"]], lambda arm: "-" if arm["loss"] is None else f"{arm['loss']:.4g}"),
            ("wrong", lambda arm: "-" if arm["errorRate"] is None else f"{arm['errorRate']:.2%}"),
        ]
    for name, cell in rows:
        table.add_row(name, cell(stable), cell(canary))
    return table


def _evidence(document: Document) -> Table:
    table = table_of("evidence that", "e-value", "decides at", "counts")
    for one in document["evidence"]:
        counts = ", ".join(f"{name} {count:,}" for name, count in one["counts"].items())
        table.add_row(_OF_EVIDENCE[one["metric"]], number(one["eValue"]), f"{number(one['threshold'])} ({one['for']})", counts)
    return table


def _of(evidence: Document) -> str:
    return f"{number(evidence['eValue'])} of {number(evidence['threshold'])}"


def _rate(name: str, arm: Document) -> str:
    count, total = arm[name], arm["requests"]
    return f"{count:,} ({count / total:.2%})" if total else f"{count:,}"


def _milliseconds(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"≤{seconds * 1_000:g}" if seconds < float("inf") else ">10000"
