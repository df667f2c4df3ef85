"""Decisions of the Job controller: a Job's state, driven by hand and by random pods."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.local.eventing.jobs.state import (
    COMPLETE,
    FAILED,
    LONGEST_PAUSE,
    MOST_ACTIVE,
    State,
    after,
    decide,
    interrupted,
    pause,
    record_exit,
    wake_at,
)
from tidegate.local.objects.job import JobSpec
from tidegate.local.objects.validation import parse

START = datetime(2026, 11, 27, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MOST_PODS = 4


def spec(restart_policy: str = "Never", **fields: Any) -> JobSpec:
    template = {"spec": {"restartPolicy": restart_policy, "containers": [{"name": "work", "command": ["true"]}]}}
    return parse(JobSpec, {"template": template, **fields})


def numbers(state: State) -> list[int]:
    return [pod.number for pod in state.active]


def run(job: JobSpec, *codes: int, state: State | None = None, at: datetime = START) -> State:
    """The state after the oldest pods have ended with these codes, one after the other and after each pause."""
    state = decide(job, state or State(), at)
    for code in codes:
        state = record_exit(job, state, state.active[0].number, code, at)
        at += LONGEST_PAUSE
        state = decide(job, state, at)
    return state


def reason(state: State) -> tuple[str, str]:
    assert state.finished is not None
    return state.finished.type, state.finished.reason


def test_a_job_runs_one_pod_and_is_complete_after_its_success() -> None:
    started = decide(spec(completions=1), State(), START)
    assert (numbers(started), started.started, started.finished) == ([1], START, None)
    done = run(spec(completions=1), 0)
    assert reason(done) == (COMPLETE, "CompletionsReached")
    assert (done.succeeded, done.failed, done.active) == (1, 0, ())
    assert [condition.type for condition in done.conditions] == ["SuccessCriteriaMet", "Complete"]


def test_a_failed_pod_is_replaced_until_the_backoff_limit_is_exceeded() -> None:
    retried = run(spec(completions=1, backoffLimit=2), 1, 1)
    assert (numbers(retried), retried.failed, retried.finished) == ([3], 2, None)
    failed = run(spec(completions=1, backoffLimit=2), 1, 1, 1)
    assert reason(failed) == (FAILED, "BackoffLimitExceeded")
    assert failed.failed == 3
    assert [condition.type for condition in failed.conditions] == ["FailureTarget", "Failed"]


def test_without_retries_the_first_failure_ends_the_job() -> None:
    assert reason(run(spec(completions=1, backoffLimit=0), 7)) == (FAILED, "BackoffLimitExceeded")


def test_a_replacement_waits_for_a_pause_that_doubles() -> None:
    job = spec(completions=1)
    failed = record_exit(job, decide(job, State(), START), 1, 1, START)
    assert decide(job, failed, START + pause(1) / 2).active == ()
    assert wake_at(job, decide(job, failed, START), START) == START + pause(1)
    assert numbers(decide(job, failed, START + pause(1))) == [2]
    assert pause(2) == 2 * pause(1)
    assert pause(1000) == LONGEST_PAUSE


def test_a_success_ends_a_series_of_failures() -> None:
    state = run(spec(completions=3), 1, 1, 0)
    assert state.failures_since_success == 0
    assert state.last_failure is None


def test_no_more_pods_run_than_parallelism_and_remaining_completions_allow() -> None:
    job = spec(completions=4, parallelism=3)
    assert numbers(decide(job, State(), START)) == [1, 2, 3]
    assert numbers(run(job, 0, 0)) == [3, 4]
    assert reason(run(job, 0, 0, 0, 0)) == (COMPLETE, "CompletionsReached")


def test_a_smaller_parallelism_stops_the_newest_pods_without_counting_them() -> None:
    state = decide(spec(completions=4, parallelism=3), State(), START)
    smaller = spec(completions=4, parallelism=1)
    state = decide(smaller, state, START)
    assert (numbers(state), [pod.number for pod in state.stopping]) == ([1], [2, 3])
    state = record_exit(smaller, record_exit(smaller, state, 3, -15, START), 2, 0, START)
    assert (state.failed, state.succeeded, state.stopping) == (0, 0, ())


def test_without_completions_one_success_is_enough_and_the_others_may_finish() -> None:
    job = spec(parallelism=3)
    state = run(job, 0)
    assert (numbers(state), state.finished) == ([2, 3], None)
    done = run(job, 0, 1, 0)
    assert reason(done) == (COMPLETE, "CompletionsReached")
    assert (done.succeeded, done.failed) == (2, 1)


def test_no_completions_at_all_is_complete_at_once() -> None:
    assert reason(decide(spec(completions=0), State(), START)) == (COMPLETE, "CompletionsReached")


def test_an_indexed_job_runs_the_lowest_index_that_has_not_succeeded() -> None:
    job = spec(completions=3, parallelism=2, completionMode="Indexed")
    state = decide(job, State(), START)
    assert [pod.index for pod in state.active] == [0, 1]
    state = run(job, 1, state=state)
    assert [pod.index for pod in state.active] == [1, 0]
    state = run(job, 0, 0, 0, state=state)
    assert reason(state) == (COMPLETE, "CompletionsReached")
    assert (state.succeeded, state.failed, state.succeeded_indexes) == (3, 1, frozenset({0, 1, 2}))


def test_the_deadline_ends_a_job_whose_pods_count_as_failed_when_they_have_ended() -> None:
    job = spec(completions=1, activeDeadlineSeconds=60)
    state = decide(job, State(), START)
    assert wake_at(job, state, START) == START + 60 * SECOND
    late = decide(job, state, START + 60 * SECOND)
    assert (late.active, late.finished) == ((), None)
    assert late.condition("FailureTarget") is not None
    done = decide(job, record_exit(job, late, 1, -15, START + 61 * SECOND), START + 61 * SECOND)
    assert reason(done) == (FAILED, "DeadlineExceeded")
    assert done.failed == 1


def test_the_backoff_limit_stops_the_other_pods() -> None:
    job = spec(completions=2, parallelism=2, backoffLimit=0)
    state = run(job, 1)
    assert [pod.number for pod in state.stopping] == [2]
    assert reason(decide(job, record_exit(job, state, 2, -15, START), START)) == (FAILED, "BackoffLimitExceeded")


def test_a_suspended_job_has_no_pods_and_starts_its_time_again_when_resumed() -> None:
    job, suspended = spec(completions=1, activeDeadlineSeconds=60), spec(completions=1, activeDeadlineSeconds=60, suspend=True)
    state = decide(suspended, decide(job, State(), START), START + 50 * SECOND)
    assert state.condition("Suspended") is not None
    state = decide(suspended, record_exit(suspended, state, 1, -15, START + 51 * SECOND), START + 100 * SECOND)
    assert (state.failed, state.finished, state.active) == (0, None, ())
    resumed = decide(job, state, START + 200 * SECOND)
    assert resumed.condition("Suspended") is None
    assert (resumed.started, numbers(resumed)) == (START + 200 * SECOND, [2])


def test_a_job_created_suspended_has_not_started() -> None:
    state = decide(spec(suspend=True), State(), START)
    assert (state.started, state.active) == (None, ())


def test_on_failure_a_container_is_restarted_in_its_pod() -> None:
    job = spec("OnFailure", completions=1, backoffLimit=2)
    state = decide(job, State(), START)
    state = record_exit(job, state, 1, 1, START)
    (pod,) = decide(job, state, START).active
    assert (pod.number, pod.restarts, pod.not_before) == (1, 1, START + pause(1))
    assert wake_at(job, state, START) == pod.not_before
    stopping = decide(job, record_exit(job, state, 1, 1, START), START)
    failed = decide(job, record_exit(job, stopping, 1, -15, START), START)
    assert reason(failed) == (FAILED, "BackoffLimitExceeded")
    assert failed.failed == 1


def test_an_interrupted_job_runs_its_pods_again_and_loses_no_attempt() -> None:
    job = spec(completions=2, backoffLimit=0, activeDeadlineSeconds=60)
    state = interrupted(run(job, 0))
    assert (state.active, state.succeeded, state.failed) == ((), 1, 0)
    later = START + timedelta(days=1)
    again = decide(job, state, later)
    assert (again.started, len(again.active), again.finished) == (later, 1, None)


def test_numbers_beyond_all_measure_are_bounded() -> None:
    job = spec(parallelism=10**12, activeDeadlineSeconds=2**63 - 1)
    state = decide(job, State(), START)
    assert len(state.active) == MOST_ACTIVE
    assert wake_at(job, state, START) == after(START, 2**63 - 1)
    indexed = spec(parallelism=10**12, completions=10**12, completionMode="Indexed")
    assert [pod.index for pod in decide(indexed, State(), START).active] == list(range(MOST_ACTIVE))


def test_a_finished_job_stays_as_it_is() -> None:
    done = run(spec(completions=1), 0)
    later = START + timedelta(days=1)
    assert decide(spec(completions=5), done, later) == done
    assert interrupted(done) == done
    assert wake_at(spec(completions=5), done, later) is None


@given(data=st.data())
def test_any_sequence_of_exits_and_changes_keeps_the_promises_of_a_job(data: st.DataObject) -> None:
    indexed = data.draw(st.booleans())
    completions = data.draw(st.integers(0, 5) if indexed else st.one_of(st.none(), st.integers(0, 5)))
    fields: dict[str, Any] = {"parallelism": data.draw(st.integers(0, MOST_PODS)), "backoffLimit": data.draw(st.integers(0, 3))}
    fields |= {"completionMode": "Indexed" if indexed else "NonIndexed", "completions": completions}
    policy = data.draw(st.sampled_from(["Never", "OnFailure"]))
    job = spec(policy, **fields)
    state, now = State(), START
    seen: set[int] = set()
    for _ in range(data.draw(st.integers(1, 40))):
        now += timedelta(seconds=data.draw(st.integers(0, 12)))
        before = state
        state = decide(job, state, now)
        assert decide(job, state, now) == state
        assert state.succeeded >= before.succeeded
        assert state.failed <= job.backoff_limit + MOST_PODS + 1
        new = {pod.number for pod in state.active} - seen
        assert not any(number <= max(seen, default=0) for number in new)
        seen |= new
        if not job.suspend:
            assert len(state.active) <= max(job.parallelism, len(before.active))
        indexes = [pod.index for pod in state.active if pod.index is not None]
        assert len(indexes) == len(set(indexes))
        assert not state.succeeded_indexes & set(indexes)
        if state.finished:
            assert state.active == state.stopping == ()
            if state.finished.type == COMPLETE and completions is not None:
                assert state.succeeded >= completions
            return
        pods = (*state.active, *state.stopping)
        match data.draw(st.sampled_from(["exit", "exit", "exit", "suspend", "parallelism", "interrupt"])):
            case "exit" if pods:
                pod = data.draw(st.sampled_from(pods))
                state = record_exit(job, state, pod.number, data.draw(st.sampled_from([0, 0, 1, -9])), now)
            case "suspend":
                fields["suspend"] = not fields.get("suspend", False)
                job = spec(policy, **fields)
            case "parallelism":
                fields["parallelism"] = data.draw(st.integers(0, MOST_PODS))
                job = spec(policy, **fields)
            case "interrupt":
                state = interrupted(state)


@pytest.mark.parametrize(("parallelism", "completions"), [(1, 1), (3, 7), (4, None)])
def test_a_job_whose_pods_succeed_always_completes(parallelism: int, completions: int | None) -> None:
    job = spec(parallelism=parallelism, completions=completions)
    state, now = decide(job, State(), START), START
    for _ in range(20):
        if state.finished:
            break
        now += SECOND
        state = decide(job, record_exit(job, state, state.active[-1].number, 0, now), now)
    assert reason(state) == (COMPLETE, "CompletionsReached")
    assert state.succeeded == (completions or parallelism)
    assert replace(state) == state
