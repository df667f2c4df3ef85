from __future__ import annotations

from typing import Any

from rich.console import Console

from tidegate.eventing_tables import tables
from tidegate.local.eventing.overview import EventingStatus


def job(number: int, state: str, reason: str = "") -> Any:
    counts = {"active": int(state == "Running"), "succeeded": int(state == "Complete"), "failed": int(state == "Failed")}
    created = f"2024-01-01T00:00:{number:02}Z"
    return {"namespace": "default", "name": f"job-{number}", "sink": "work", **counts, "state": state, "reason": reason, "created": created}


def printed(**groups: Any) -> list[list[str]]:
    console = Console(width=250, markup=False)
    document: EventingStatus = {"receivers": [], "triggers": [], "sources": [], "jobs": [], **groups}  # type: ignore[typeddict-item]
    with console.capture() as capture:
        for table in tables(document):
            console.print(table)
    return [line.split() for line in capture.get().splitlines()]


def test_nothing_is_shown_without_objects() -> None:
    assert printed() == []


def test_trigger_that_is_not_ready_shows_the_reason() -> None:
    counts = {"delivered": 1200, "retries": 3, "dead_lettered": 2, "lost": 0, "filtered": 0}
    item = {"name": "t", "broker": "b", "ready": False, "reason": "spec.steps[0] [red]missing", "subscriber": "", **counts}
    line = printed(triggers=[item])[1]
    assert line == ["t", "b", *["spec.steps[0]", "[red]missing", "1,200", "delivered,", "3", "retries,", "2", "dead-lettered"]]


def test_source_shows_its_next_run_and_counts_that_it_has() -> None:
    item = {"name": "nightly", "kind": "PingSource", "ready": True, "reason": "", "sent": 4, "failed": None, "sink": "http://x"}
    line = printed(sources=[{**item, "next": "2024-01-02T03:04:05+00:00"}])[1]
    assert line[:5] == ["nightly", "PingSource", "yes", "4", "-"]
    assert line[5].startswith("2024-01-0")


def test_jobs_that_run_come_first_and_old_ones_are_counted() -> None:
    finished = [job(number, "Complete") for number in range(12)]
    lines = printed(jobs=[job(0, "Running"), *finished, job(50, "Failed", "BackoffLimitExceeded")])[1:]
    assert lines[0] == ["job-0", "work", "1", "0", "0", "running"]
    assert lines[1] == ["job-50", "work", "0", "0", "1", "failed:", "BackoffLimitExceeded"]
    assert lines[2][0] == "job-11"
    assert lines[-1] == ["3", "more", "finished"]
