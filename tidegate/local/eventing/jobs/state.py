"""The state of a Job and the decisions of Kubernetes' Job controller, as pure functions.

The order of the decisions, the reasons and the messages are those of `syncJob` and `manageJob` in Kubernetes 1.34.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice

from tidegate.local.objects.job import JobSpec

COMPLETE, SUCCESS_CRITERIA_MET, FAILED, FAILURE_TARGET, SUSPENDED = "Complete", "SuccessCriteriaMet", "Failed", "FailureTarget", "Suspended"

# Kubernetes waits 10 s after the first failure, and up to 10 minutes. Here a person is waiting.
FIRST_PAUSE = timedelta(seconds=0.5)
LONGEST_PAUSE = timedelta(seconds=10)
# The pods that Kubernetes creates at most in one decision. More could not run at once on this machine.
MOST_ACTIVE = 500
# A longer time limit is none, and its end might be after the last year of the calendar.
_LONGEST_SECONDS = 100 * 365 * 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A pod of a Job that has not ended. `number` counts the pods of a run; `index` is that of an Indexed Job.

    With the restart policy `OnFailure` a container that failed is restarted in its pod, at `not_before`. The end of a
    pod that is not `counted` changes nothing, since the Job did not want it any longer.
    """

    number: int
    index: int | None = None
    restarts: int = 0
    not_before: datetime | None = None
    counted: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A condition of a Job. Its status is True, or False if it does not hold."""

    type: str
    reason: str
    message: str
    since: datetime
    holds: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The progress of a Job: the pods that shall run, those that shall end, and the counts of those that have ended."""

    started: datetime | None = None
    active: tuple[Pod, ...] = ()
    stopping: tuple[Pod, ...] = ()
    next_number: int = 1
    succeeded: int = 0
    succeeded_indexes: frozenset[int] = frozenset()
    failed: int = 0
    failures_since_success: int = 0
    last_failure: datetime | None = None
    conditions: tuple[Condition, ...] = ()

    def condition(self, type_: str) -> Condition | None:
        """The condition of a type, if it holds."""
        return next((item for item in self.conditions if item.type == type_ and item.holds), None)

    @property
    def finished(self) -> Condition | None:
        """The condition Complete or Failed of a Job that has ended."""
        return self.condition(COMPLETE) or self.condition(FAILED)


def decide(spec: JobSpec, state: State, now: datetime) -> State:
    """Return the state after the decisions at a time. A finished Job is unchanged."""
    if state.finished:
        return state
    state = _started(spec, state, now)
    if failure := state.condition(FAILURE_TARGET) or _failure(spec, state, now):
        return _end(state, failure, FAILED, now, counted=True)
    if success := state.condition(SUCCESS_CRITERIA_MET):
        return _end(state, success, COMPLETE, now, counted=False)
    state = _managed(spec, state, now)
    if _is_complete(spec, state):
        message = "Reached expected number of succeeded pods"
        success = Condition(type=SUCCESS_CRITERIA_MET, reason="CompletionsReached", message=message, since=now)
        return _end(state, success, COMPLETE, now, counted=False)
    if spec.suspend:
        return _with_condition(state, Condition(type=SUSPENDED, reason="JobSuspended", message="Job suspended", since=now))
    return state


def wake_at(spec: JobSpec, state: State, now: datetime) -> datetime | None:
    """The next time at which there is something to decide or to start, if no pod ends before."""
    if state.finished:
        return None
    times = [_deadline(spec, state), _attempt_at(state), *(pod.not_before for pod in state.active)]
    return min((time for time in times if time is not None and time > now), default=None)


def record_exit(spec: JobSpec, state: State, number: int, code: int, now: datetime) -> State:
    """Return the state after the process of a pod has ended: with an exit code, or killed by a signal (negative)."""
    pod = next(item for item in (*state.active, *state.stopping) if item.number == number)
    if code != 0 and pod in state.active and spec.template.spec.restart_policy == "OnFailure":
        restarted = replace(pod, restarts=pod.restarts + 1, not_before=now + pause(pod.restarts + 1))
        return replace(state, active=tuple(restarted if item is pod else item for item in state.active))
    state = replace(state, active=_without(state.active, pod), stopping=_without(state.stopping, pod))
    if not pod.counted:
        return state
    return _record_success(state, pod) if code == 0 else _record_failure(state, now)


def interrupted(state: State) -> State:
    """The state after an end of `tidegate up`: the pods that ran are gone, and do not count as failed.

    As after a suspension, the time of `activeDeadlineSeconds` begins again: the machine may have been off.
    """
    return replace(state, active=(), stopping=(), started=state.started if state.finished else None)


def pause(failures: int) -> timedelta:
    """The time between the latest of a series of failures and the next attempt."""
    return min(FIRST_PAUSE * 2.0 ** min(failures - 1, 32), LONGEST_PAUSE) if failures else timedelta(0)


def after(time: datetime, seconds: int) -> datetime:
    """The end of a time limit."""
    return time + timedelta(seconds=min(seconds, _LONGEST_SECONDS))


def _started(spec: JobSpec, state: State, now: datetime) -> State:
    """Set the start of a Job that is not suspended, and set it again when it is resumed."""
    if spec.suspend:
        return state
    if state.condition(SUSPENDED) is None:
        return replace(state, started=state.started or now)
    resumed = Condition(type=SUSPENDED, reason="JobResumed", message="Job resumed", since=now, holds=False)
    return replace(_with_condition(state, resumed), started=now)


def _failure(spec: JobSpec, state: State, now: datetime) -> Condition | None:
    restarts = sum(pod.restarts for pod in state.active)
    if state.failed > spec.backoff_limit or (restarts and restarts >= spec.backoff_limit):
        message = "Job has reached the specified backoff limit"
        return Condition(type=FAILURE_TARGET, reason="BackoffLimitExceeded", message=message, since=now)
    deadline = _deadline(spec, state)
    if deadline is not None and now >= deadline:
        message = "Job was active longer than specified deadline"
        return Condition(type=FAILURE_TARGET, reason="DeadlineExceeded", message=message, since=now)
    return None


def _deadline(spec: JobSpec, state: State) -> datetime | None:
    if spec.active_deadline_seconds is None or state.started is None or spec.suspend:
        return None
    return after(state.started, spec.active_deadline_seconds)


def _attempt_at(state: State) -> datetime | None:
    return state.last_failure + pause(state.failures_since_success) if state.last_failure else None


def _end(state: State, target: Condition, final: str, now: datetime, *, counted: bool) -> State:
    """Stop all pods, and declare the Job as finished when none is left."""
    state = _stop(_with_condition(state, target), state.active, counted=counted)
    return state if state.stopping else _with_condition(state, replace(target, type=final, since=now))


def _is_complete(spec: JobSpec, state: State) -> bool:
    if state.active:
        return False
    return state.succeeded > 0 if spec.completions is None else state.succeeded >= spec.completions


def _managed(spec: JobSpec, state: State, now: datetime) -> State:
    """Start or stop pods until as many are active as are wanted. There is a pause before a pod that follows a failure."""
    surplus = len(state.active) - _wanted(spec, state)
    if surplus > 0:
        newest = sorted(state.active, key=lambda pod: pod.number)[-surplus:]
        return _stop(state, tuple(newest), counted=False)
    attempt_at = _attempt_at(state)
    if surplus == 0 or (attempt_at is not None and attempt_at > now):
        return state
    new = tuple(Pod(number=state.next_number + place, index=index) for place, index in enumerate(_new_indexes(spec, state, -surplus)))
    return replace(state, active=(*state.active, *new), next_number=state.next_number + len(new))


def _wanted(spec: JobSpec, state: State) -> int:
    if spec.suspend:
        return 0
    if spec.completions is None:
        return len(state.active) if state.succeeded else min(spec.parallelism, MOST_ACTIVE)
    return max(0, min(spec.completions - state.succeeded, spec.parallelism, MOST_ACTIVE))


def _new_indexes(spec: JobSpec, state: State, count: int) -> list[int | None]:
    """The indexes of new pods: the lowest ones that have not succeeded and have no pod."""
    if spec.completion_mode != "Indexed":
        return [None] * count
    taken = state.succeeded_indexes | {pod.index for pod in state.active}
    free: Iterator[int] = (index for index in range(spec.completions or 0) if index not in taken)
    return list(islice(free, count))


def _stop(state: State, pods: tuple[Pod, ...], *, counted: bool) -> State:
    stopped = tuple(replace(pod, counted=counted) for pod in pods)
    return replace(state, active=tuple(pod for pod in state.active if pod not in pods), stopping=(*state.stopping, *stopped))


def _without(pods: tuple[Pod, ...], pod: Pod) -> tuple[Pod, ...]:
    return tuple(item for item in pods if item is not pod)


def _record_success(state: State, pod: Pod) -> State:
    indexes = state.succeeded_indexes if pod.index is None else state.succeeded_indexes | {pod.index}
    succeeded = state.succeeded + 1 if pod.index is None else len(indexes)
    return replace(state, succeeded=succeeded, succeeded_indexes=indexes, failures_since_success=0, last_failure=None)


def _record_failure(state: State, now: datetime) -> State:
    return replace(state, failed=state.failed + 1, failures_since_success=state.failures_since_success + 1, last_failure=now)


def _with_condition(state: State, condition: Condition) -> State:
    """Add a condition, or replace the one of its type if its status has changed."""
    for place, old in enumerate(state.conditions):
        if old.type == condition.type:
            changed = condition if old.holds != condition.holds else old
            return replace(state, conditions=(*state.conditions[:place], changed, *state.conditions[place + 1 :]))
    return replace(state, conditions=(*state.conditions, condition))
