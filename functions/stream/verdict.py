"""What the sink's answer to a batch means for each of its events. Values in, values out."""

from __future__ import annotations

from dataclasses import dataclass

from common.delivery import Outcome, outcome_of
from eventing.event import Event
from eventing.reply import Problem
from eventing.types import INFERENCE_FAILED


@dataclass(frozen=True, slots=True)
class Answered:
    """The call succeeded with these replies."""

    replies: list[Event]


@dataclass(frozen=True, slots=True)
class Refused:
    """The call failed as a whole. `retry_after`, in seconds, is what the sink asked for."""

    problem: Problem
    retry_after: float = 0.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """`event` is the output; without one, `problem` says why, and `retry` whether another call may help."""

    event: Event | None = None
    problem: Problem | None = None
    retry: bool = False


def judge(answer: Answered | Refused, count: int) -> list[Verdict] | None:
    """One verdict for each of `count` events, in order; None: call with fewer events to find the one that spoils the batch."""
    if isinstance(answer, Refused):
        retry = outcome_of(answer.problem.status) is Outcome.RETRY
        return [Verdict(problem=answer.problem, retry=retry)] * count if retry or count == 1 else None
    if len(answer.replies) != count:
        detail = f"the sink answered {count} events with {len(answer.replies)} replies; it must give one for each, in order."
        return [Verdict(problem=Problem(502, "bad answer", detail), retry=True)] * count
    return [_of_reply(reply) for reply in answer.replies]


def _of_reply(reply: Event) -> Verdict:
    if reply.type != INFERENCE_FAILED:
        return Verdict(event=reply)
    problem = Problem.from_json(reply.data)
    return Verdict(problem=problem, retry=outcome_of(problem.status) is not Outcome.DEAD_LETTER)
