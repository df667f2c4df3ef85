"""Outcomes: what a router observed of a model's arms in a second, as data of `dev.tidegate.outcome.observed`.

One event has all arms of a model. If it is lost or late, it is so for each of them, and the comparison of the arms
stays fair; with an event for each arm it would not.

A key is named by its digest, 32 bits of its salted hash that do not depend on its arm. Keys are listed so that each is
counted once in a rollout, whatever the number of its requests and of routers that saw it: requests with one key are not
independent. Where the keys of a second are more than an event may list, those with the smallest digests of all arms
together are listed, which favours no arm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from common.errors import InvalidEvent
from eventing.distinct import Distinct
from eventing.event import Event
from eventing.types import OUTCOME_OBSERVED

MOST_ARMS = 16
MOST_KEYS = 1_024
"""Keys of an event, of all arms and lists together."""
MOST_SCORES = 256
"""Scores of an event, of all arms together."""
MOST_PAIRS = 256
"""Keys, and differences, of an event's comparison with the shadow."""

BAD_OUTCOMES = ("errors", "rejections", "slow")
"""What can be wrong with a request: the arm failed; it refused what the caller sent; it took longer than the SLO."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmOutcome:
    """An arm in one window.

    Requests are those of the split: without those that named the revision or a version (`forced`). Each event of a
    batch, and each row with a key of its own, is a request. A request counts as `cold` if it waited for a start; its
    latency is not in `latencies`, nor is it slow. Neither is that of a batch: an arm's part of it is as large as its
    percentage, so that parts cannot be compared. Counts of latencies are by
    `functions.runtime.observability.histogram.LATENCIES`.
    """

    revision: str
    percent: int
    requests: int = 0
    errors: int = 0
    rejections: int = 0
    slow: int = 0
    cold: int = 0
    forced: int = 0
    keys: Distinct = field(default_factory=Distinct)
    latencies: Sequence[int] = ()
    scores: Sequence[float] = ()
    """Scores of a sample of the replies, the same for all arms."""
    score_keys: Sequence[int] = ()
    """The digests of the keys of `scores`, in their order. Scores without a key are not compared."""
    score_ids: Sequence[int] = ()
    """The digests (`eventing.label.prediction_digest`) of the ids of the predictions of `scores`; 0 where there is none."""
    bad_keys: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """The digests of the keys with at least one bad outcome, by the name of it (BAD_OUTCOMES)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowOutcome:
    """The revision that got copies of requests, compared with the revisions that answered the callers.

    A pair is a request, or an event of a batch, that both answered. Requests count as `dropped` if no copy was sent,
    to spare the callers, and as `failed` if the shadow did not answer.
    """

    revision: str
    pairs: int = 0
    disagreements: int = 0
    dropped: int = 0
    failed: int = 0
    differences: Sequence[float] = ()
    """The shadow's score minus the caller's, of a sample of the pairs."""
    keys: Sequence[tuple[int, bool]] = ()
    """The digests of keys, each with whether its first pair of the rollout disagreed; the smallest digests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The arms of a model in one window of a router, in which the split did not change.

    The first arm is the stable one. `sequence` counts the outcomes of one router instance about one model from 1 on,
    without gaps. `rollout` is the name by which keys are assigned. `started` is in seconds since 1970, by the router's
    clock.
    """

    router: str
    model: str
    sequence: int
    rollout: str
    started: float
    seconds: float
    arms: Sequence[ArmOutcome]
    shadow: ShadowOutcome | None = None

    def to_event(self) -> Event:
        """The event. Its id is the same in each attempt to deliver it."""
        attributes = {
            "specversion": "1.0",
            "type": OUTCOME_OBSERVED,
            "source": f"/tidegate/routers/{self.router}",
            "id": f"{self.model}/{self.sequence}",
            "subject": self.model,
            "partitionkey": self.model,
            "datacontenttype": "application/json",
        }
        return Event(attributes, _to_json(self))


def from_event(event: Event) -> Outcome:
    """The outcome of an event by `Outcome.to_event`. Raises InvalidEvent, naming what is wrong."""
    if event.type != OUTCOME_OBSERVED:
        raise InvalidEvent(f"the event is a {event.type}, not a {OUTCOME_OBSERVED}.")
    data = event.value()
    if not isinstance(data, dict):
        raise InvalidEvent("the data of an outcome must be an object.")
    read = _Reader("the outcome", data)
    arms = read.array("arms", MOST_ARMS)
    outcome = Outcome(
        router=read.text("router"),
        model=read.text("model"),
        sequence=read.count("sequence", least=1),
        rollout=read.text("rollout", empty=True),
        started=read.number("started"),
        seconds=read.number("seconds"),
        arms=[_arm(index, arm) for index, arm in enumerate(arms)],
        shadow=None if data.get("shadow") is None else _shadow(data["shadow"]),
    )
    if not outcome.arms or len({arm.revision for arm in outcome.arms}) != len(outcome.arms):
        raise InvalidEvent("the outcome must have at least one arm, and each revision once.")
    if sum(len(keys) for arm in outcome.arms for keys in arm.bad_keys.values()) > MOST_KEYS:
        raise InvalidEvent(f"the outcome lists more than {MOST_KEYS} keys.")
    if sum(len(arm.scores) for arm in outcome.arms) > MOST_SCORES:
        raise InvalidEvent(f"the outcome has more than {MOST_SCORES} scores.")
    if event.get("subject") != outcome.model or event.source != f"/tidegate/routers/{outcome.router}":
        raise InvalidEvent("the outcome is about another model, or from another router, than its event's subject and source say.")
    return outcome


def _to_json(outcome: Outcome) -> dict[str, Any]:
    return {
        "router": outcome.router,
        "model": outcome.model,
        "sequence": outcome.sequence,
        "rollout": outcome.rollout,
        "started": outcome.started,
        "seconds": outcome.seconds,
        "arms": [_arm_to_json(arm) for arm in outcome.arms],
        **({} if outcome.shadow is None else {"shadow": _shadow_to_json(outcome.shadow)}),
    }


def _arm_to_json(arm: ArmOutcome) -> dict[str, Any]:
    return {
        "revision": arm.revision,
        "percent": arm.percent,
        "requests": arm.requests,
        "errors": arm.errors,
        "rejections": arm.rejections,
        "slow": arm.slow,
        "cold": arm.cold,
        "forced": arm.forced,
        "keys": arm.keys.to_text(),
        "latencies": list(arm.latencies),
        "scores": list(arm.scores),
        "score_keys": list(arm.score_keys),
        "score_ids": list(arm.score_ids),
        "bad_keys": {name: list(keys) for name, keys in arm.bad_keys.items()},
    }


def _shadow_to_json(shadow: ShadowOutcome) -> dict[str, Any]:
    return {
        "revision": shadow.revision,
        "pairs": shadow.pairs,
        "disagreements": shadow.disagreements,
        "dropped": shadow.dropped,
        "failed": shadow.failed,
        "differences": list(shadow.differences),
        "keys": [list(pair) for pair in shadow.keys],
    }


def _shadow(value: object) -> ShadowOutcome:
    read = _reader("the shadow of the outcome", value)
    return ShadowOutcome(
        revision=read.text("revision"),
        pairs=read.count("pairs"),
        disagreements=read.count("disagreements"),
        dropped=read.count("dropped"),
        failed=read.count("failed"),
        differences=read.numbers("differences", MOST_PAIRS),
        keys=read.flagged("keys", MOST_PAIRS),
    )


def _arm(index: int, value: object) -> ArmOutcome:
    read = _reader(f"arm {index} of the outcome", value)
    bad_keys = read.fields.get("bad_keys")
    if not isinstance(bad_keys, dict) or not bad_keys.keys() <= set(BAD_OUTCOMES):
        raise InvalidEvent(f"bad_keys of arm {index} of the outcome must be an object with keys among {', '.join(BAD_OUTCOMES)}.")
    keys = _Reader(f"bad_keys of arm {index} of the outcome", bad_keys)
    return ArmOutcome(
        revision=read.text("revision"),
        percent=read.count("percent", most=100),
        requests=read.count("requests"),
        errors=read.count("errors"),
        rejections=read.count("rejections"),
        slow=read.count("slow"),
        cold=read.count("cold"),
        forced=read.count("forced"),
        keys=Distinct.from_text(read.text("keys")),
        latencies=read.counts("latencies", 64),
        scores=read.numbers("scores", MOST_SCORES),
        score_keys=read.counts("score_keys", MOST_SCORES, most=2**32 - 1) if "score_keys" in read.fields else (),
        score_ids=read.counts("score_ids", MOST_SCORES, most=2**53 - 1) if "score_ids" in read.fields else (),
        bad_keys={name: keys.counts(name, MOST_KEYS, most=2**32 - 1) for name in bad_keys},
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads fields of a JSON object; each error names the object and the field."""

    what: str
    fields: Mapping[str, Any]

    def text(self, name: str, *, empty: bool = False) -> str:
        value = self.fields.get(name)
        if not isinstance(value, str) or not (value or empty) or len(value) > 1_024:
            raise self._invalid(name, "a string of at most 1,024 characters")
        return value

    def number(self, name: str) -> float:
        value = self.fields.get(name)
        if not _is_number(value) or value < 0:
            raise self._invalid(name, "a number that is not negative")
        return float(value)

    def count(self, name: str, *, least: int = 0, most: int = 2**53) -> int:
        value = self.fields.get(name)
        if type(value) is not int or not least <= value <= most:
            raise self._invalid(name, f"an integer from {least} to {most}")
        return value

    def array(self, name: str, longest: int) -> list[Any]:
        value = self.fields.get(name)
        if not isinstance(value, list) or len(value) > longest:
            raise self._invalid(name, f"an array of at most {longest} items")
        return value

    def counts(self, name: str, longest: int, *, most: int = 2**53) -> list[int]:
        values = self.array(name, longest)
        if not all(type(value) is int and 0 <= value <= most for value in values):
            raise self._invalid(name, f"an array of integers from 0 to {most}")
        return values

    def numbers(self, name: str, longest: int) -> list[float]:
        values = self.array(name, longest)
        if not all(map(_is_number, values)):
            raise self._invalid(name, "an array of numbers")
        return [float(value) for value in values]

    def flagged(self, name: str, longest: int) -> list[tuple[int, bool]]:
        pairs = self.array(name, longest)
        if not all(isinstance(pair, list) and len(pair) == 2 and _is_digest(pair[0]) and isinstance(pair[1], bool) for pair in pairs):
            raise self._invalid(name, "an array of pairs of a digest of 32 bits and a boolean")
        return [(digest, flag) for digest, flag in pairs]

    def _invalid(self, name: str, expected: str) -> InvalidEvent:
        return InvalidEvent(f"{name} of {self.what} must be {expected}.")


def _reader(what: str, value: object) -> _Reader:
    if not isinstance(value, dict):
        raise InvalidEvent(f"{what} must be an object.")
    return _Reader(what, value)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300


def _is_digest(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**32
