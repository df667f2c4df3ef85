"""Checks of a rollout, as pure functions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from tidegate.demo.checks import Check, by_key, share_of_keys
from tidegate.demo.following import SETTLED_SECONDS, Step
from tidegate.demo.rollout import Rollout
from tidegate.rollouts.document import Document

_SETTLED_MS = SETTLED_SECONDS * 1e3


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """An event with its answer. Times are in ms since the epoch."""

    key: str
    version: str
    published: float
    written: float


class Followed(Protocol):
    """A rollout that was followed to its end."""

    document: Document
    decisions: list[Document]
    steps: list[Step]


def at_each_step(answers: Iterable[Answered], steps: Sequence[Step]) -> dict[int, list[Answered]]:
    """The answers that were certainly assigned by the weights of a step, by its percentage.

    They were published after the router had the weights, and written before the next ones were decided.
    """
    found: dict[int, list[Answered]] = {step.percent: [] for step in steps}
    for answer in answers:
        for step in steps:
            if answer.published >= step.since + _SETTLED_MS and answer.written < step.until:
                found[step.percent].append(answer)
    return found


def stickiness(answers: Sequence[Answered], steps: Sequence[Step], canary: str) -> list[Check]:
    """A key has one version while the weights are constant, and goes back from the canary in a roll-back only."""
    keys = {answer.key for answer in answers}
    versions = [by_key((answer.key, answer.version) for answer in found) for found in at_each_step(answers, steps).values()]
    split = {key for arms in versions for key, found in arms.items() if len(found) > 1}
    back = _moved_back([answer for answer in answers if answer.written < _growing_until(steps)], canary)
    return [
        Check(
            "stream: each key stays with one version while the weights are constant",
            bool(keys) and not split,
            f"{len(split)} of {len(keys):,} keys had two{_examples(split)}",
        ),
        Check(
            "stream: keys move to the canary only, as it grows",
            bool(keys) and not back,
            f"{len(back)} of {len(keys):,} moved back{_examples(back)}",
        ),
    ]


def shares(answers: Sequence[Answered], steps: Sequence[Step], canary: str) -> Check:
    """The canary's share of keys is within 4 standard deviations of each percentage."""
    seen, kept = [], bool(answers)
    for percent, found in at_each_step(answers, steps).items():
        arms = by_key((answer.key, answer.version) for answer in found)
        if not arms:
            continue
        share, weight = share_of_keys(arms, canary), percent / 100
        kept &= abs(share - weight) <= 4 * math.sqrt(weight * (1 - weight) / len(arms))
        seen.append(f"{share:.1%} of {len(arms):,} keys at {percent}%")
    return Check("stream: the canary has its percentage of the keys", kept and bool(seen), ", ".join(seen))


def promotion(followed: Followed, rollout: Rollout) -> list[Check]:
    """The rollout function has given the canary each of its steps, and then promoted it, with outcomes of both versions."""
    document = followed.document
    moves = [decision for decision in followed.decisions if decision["kind"] in ("advance", "promote")]
    percents = [rollout.steps[0], *(decision["percent"] for decision in moves)]
    promoted = document["phase"] == "promoted" and bool(moves) and moves[-1]["kind"] == "promote" and moves[-1]["metric"] != "manual"
    observed = ", ".join(f"{percent}%" for percent in percents)
    labelled = [arm["labelledKeys"] for arm in document["arms"]]
    return [
        Check(
            f"rollout: the rollout function promotes {rollout.canary}, step by step",
            promoted and percents == rollout.steps,
            observed if promoted else f"{observed}, {document['phase']}: {document['next']}",
        ),
        Check(
            f"rollout: the outcomes of at least {rollout.minimum_labels} keys of each version are known",
            min(labelled) >= rollout.minimum_labels,
            ", ".join(f"{count:,} of {version}" for version, count in zip(rollout.revisions, labelled, strict=True)),
        ),
    ]


def roll_back(answers: Sequence[Answered], followed: Followed, canary: str) -> list[Check]:
    """The rollout function has rolled the canary back by its labels, and it answers nothing afterwards."""
    document, last = followed.document, followed.decisions[-1] if followed.decisions else {}
    by_labels = document["phase"] == "rolled-back" and last.get("metric") == "correctness"
    arm = document["arms"][1]
    after = [answer for answer in answers if answer.published >= followed.steps[-1].since + _SETTLED_MS] if by_labels else []
    late = sum(answer.version == canary for answer in after)
    return [
        Check(
            f"rollout: the rollout function rolls {canary} back by the labels",
            by_labels and last["eValue"] >= last["threshold"],
            f"e-value {last['eValue']:,.0f} of {last['threshold']:,.0f}" if by_labels else f"{document['phase']}: {document['next']}",
        ),
        Check(
            f"rollout: {canary} has answered without an error",
            arm["requests"] > 0 and arm["errors"] == 0,
            f"{arm['errors']} errors in {arm['requests']:,} requests",
        ),
        Check(f"rollout: no answer of {canary} after it", bool(after) and not late, f"{late} of {len(after):,}"),
    ]


def _growing_until(steps: Sequence[Step]) -> float:
    """The time at which a roll-back was decided; without one, there is no end."""
    return next((before.until for before, after in pairwise(steps) if after.percent < before.percent), float("inf"))


def _moved_back(answers: Sequence[Answered], canary: str) -> set[str]:
    """The keys with an answer of another version after one of the canary. The answers of a key are in order."""
    moved, back = set(), set()
    for answer in answers:
        if answer.version == canary:
            moved.add(answer.key)
        elif answer.key in moved:
            back.add(answer.key)
    return back


def _examples(names: Iterable[str]) -> str:
    shown = sorted(names)[:3]
    return f": {', '.join(shown)}" if shown else ""
