"""The tables of `tidegate status` about events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from rich.table import Table

from tidegate.local.eventing.overview import EventingStatus, JobStatus, Named, ReceiverStatus, SourceStatus, TriggerStatus

# Finished Jobs beyond these are only counted.
_MAX_FINISHED_JOBS = 10


def table_of(*columns: str) -> Table:
    """Return an empty table in the look of `tidegate status`."""
    table = Table(box=None, pad_edge=False, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def tables(eventing: EventingStatus) -> Iterator[Table]:
    """Return a table for each group of objects that there is."""
    if eventing["receivers"]:
        yield _receivers(eventing["receivers"])
    if eventing["triggers"]:
        yield _triggers(eventing["triggers"])
    if eventing["sources"]:
        yield _sources(eventing["sources"])
    if eventing["jobs"]:
        yield _jobs(eventing["jobs"])


def _receivers(receivers: Sequence[ReceiverStatus]) -> Table:
    table = table_of("receiver", "kind", "events", "ready", "address")
    for item in receivers:
        table.add_row(item["name"], item["kind"], _count(item["events"]), _ready(item), item["address"])
    return table


def _triggers(triggers: Sequence[TriggerStatus]) -> Table:
    table = table_of("trigger", "broker", "ready", "events", "subscriber")
    for item in triggers:
        table.add_row(item["name"], item["broker"], _ready(item), _outcomes(item), item["subscriber"])
    return table


def _outcomes(item: TriggerStatus) -> str:
    counts = {
        "delivered": item["delivered"],
        "retries": item["retries"],
        "dead-lettered": item["dead_lettered"],
        "lost": item["lost"],
        "filtered": item["filtered"],
    }
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count) or "-"


def _sources(sources: Sequence[SourceStatus]) -> Table:
    table = table_of("source", "kind", "ready", "sent", "failed", "next", "sink")
    for item in sources:
        table.add_row(item["name"], item["kind"], _ready(item), _count(item["sent"]), _count(item["failed"]), _next(item), item["sink"])
    return table


def _jobs(jobs: Sequence[JobStatus]) -> Table:
    table = table_of("job", "sink", "active", "succeeded", "failed", "state")
    newest = sorted(jobs, key=lambda item: item["created"], reverse=True)
    finished = [item for item in newest if _is_finished(item)]
    for item in [*(item for item in newest if not _is_finished(item)), *finished[:_MAX_FINISHED_JOBS]]:
        state = f"{item['state'].lower()}: {item['reason']}" if item["reason"] and item["state"] == "Failed" else item["state"].lower()
        table.add_row(item["name"], item["sink"], *map(_count, (item["active"], item["succeeded"], item["failed"])), state)
    if len(finished) > _MAX_FINISHED_JOBS:
        table.add_row(f"{len(finished) - _MAX_FINISHED_JOBS:,} more", "", "", "", "", "finished")
    return table


def _is_finished(job: JobStatus) -> bool:
    return job["state"] in ("Complete", "Failed")


def _ready(item: Named) -> str:
    return "yes" if item["ready"] else item["reason"]


def _count(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"


def _next(source: SourceStatus) -> str:
    """The next run in this machine's time zone."""
    return datetime.fromisoformat(source["next"]).astimezone().strftime("%Y-%m-%d %H:%M:%S") if source["next"] else "-"
