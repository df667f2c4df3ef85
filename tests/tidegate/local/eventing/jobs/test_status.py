"""The status of a Job, as the API server shows it, and its reading after a restart."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.local.eventing.jobs.state import Condition, Pod, State
from tidegate.local.eventing.jobs.status import state_of, status_of
from tidegate.local.objects.job import JobSpec
from tidegate.local.objects.validation import parse

START = datetime(2026, 11, 27, 12, tzinfo=UTC)
SPEC = parse(JobSpec, {"template": {"spec": {"containers": [{"command": ["true"]}]}}, "completionMode": "Indexed", "completions": 20})
COMPLETE = Condition(type="Complete", reason="CompletionsReached", message="Reached expected number of succeeded pods", since=START)


def test_a_running_job_shows_its_pods_and_its_start() -> None:
    state = State(started=START, active=(Pod(number=3), Pod(number=4)), stopping=(Pod(number=2),), failed=1)
    assert status_of(SPEC, state, ready=1) == {
        "active": 2,
        "failed": 1,
        "ready": 1,
        "terminating": 1,
        "startTime": "2026-11-27T12:00:00Z",
        "uncountedTerminatedPods": {},
    }


def test_a_complete_job_shows_when_it_ended_and_why() -> None:
    status = status_of(SPEC, State(started=START, succeeded=1, conditions=(COMPLETE,)), ready=0)
    assert status["completionTime"] == "2026-11-27T12:00:00Z"
    assert status["conditions"] == [
        {
            "type": "Complete",
            "status": "True",
            "reason": "CompletionsReached",
            "message": "Reached expected number of succeeded pods",
            "lastProbeTime": "2026-11-27T12:00:00Z",
            "lastTransitionTime": "2026-11-27T12:00:00Z",
        }
    ]


@pytest.mark.parametrize(
    ("indexes", "text"),
    [({0}, "0"), ({0, 1}, "0,1"), ({0, 1, 2}, "0-2"), ({0, 2, 3, 4, 7}, "0,2-4,7"), ({1, 2, 5, 6}, "1,2,5,6")],
    ids=lambda value: str(value),
)
def test_completed_indexes_are_written_as_kubernetes_writes_them(indexes: set[int], text: str) -> None:
    assert status_of(SPEC, State(succeeded_indexes=frozenset(indexes)), ready=0)["completedIndexes"] == text


@given(indexes=st.frozensets(st.integers(0, 60)), failed=st.integers(0, 9), started=st.booleans(), complete=st.booleans())
def test_a_status_restores_the_state_that_it_was_made_of(indexes: frozenset[int], failed: int, started: bool, complete: bool) -> None:
    state = State(
        started=START if started else None,
        succeeded=len(indexes),
        succeeded_indexes=indexes,
        failed=failed,
        conditions=(COMPLETE,) if complete else (),
    )
    assert state_of(status_of(SPEC, state, ready=0)) == state
