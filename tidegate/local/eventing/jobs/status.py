"""The status of a Job (batch/v1, JobStatus) from its state, and the state from a status that was kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from tidegate.local.eventing.jobs.state import COMPLETE, Condition, State
from tidegate.local.objects.job import JobSpec

Status = dict[str, Any]


def status_of(spec: JobSpec, state: State, *, ready: int) -> Status:
    """Return the status of a Job with `ready` running processes, without fields that are zero, as the API server."""
    complete = state.condition(COMPLETE)
    counts = {"active": len(state.active), "succeeded": state.succeeded, "failed": state.failed}
    times = {"startTime": state.started, "completionTime": complete.since if complete else None}
    return {
        **{name: count for name, count in counts.items() if count},
        "ready": ready,
        "terminating": len(state.stopping),
        **{name: _text(time) for name, time in times.items() if time},
        **({"completedIndexes": _ranges(state.succeeded_indexes)} if spec.completion_mode == "Indexed" and state.succeeded_indexes else {}),
        **({"conditions": [_condition(item) for item in state.conditions]} if state.conditions else {}),
        "uncountedTerminatedPods": {},
    }


def state_of(status: Status) -> State:
    """Return the state that a status describes, without the pods, which have ended with the process that ran them."""
    return State(
        started=_time(status["startTime"]) if "startTime" in status else None,
        succeeded=status.get("succeeded", 0),
        succeeded_indexes=frozenset(_indexes(status.get("completedIndexes", ""))),
        failed=status.get("failed", 0),
        conditions=tuple(_read_condition(item) for item in status.get("conditions", [])),
    )


def _condition(condition: Condition) -> dict[str, str]:
    since = _text(condition.since)
    return {
        "type": condition.type,
        "status": "True" if condition.holds else "False",
        "reason": condition.reason,
        "message": condition.message,
        "lastProbeTime": since,
        "lastTransitionTime": since,
    }


def _read_condition(item: dict[str, str]) -> Condition:
    since = _time(item["lastTransitionTime"])
    return Condition(type=item["type"], reason=item["reason"], message=item["message"], since=since, holds=item["status"] == "True")


def _ranges(indexes: Iterable[int]) -> str:
    """Return indexes in Kubernetes' notation: `0,2-4`, in which two neighbours are a list."""
    ordered = sorted(indexes)
    ends = [0, *(place for place, (left, right) in enumerate(pairwise(ordered), 1) if right != left + 1), len(ordered)]
    return ",".join(_range(ordered[begin], ordered[end - 1]) for begin, end in pairwise(ends))


def _range(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}{',' if last == first + 1 else '-'}{last}"


def _indexes(text: str) -> Iterator[int]:
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


def _text(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
