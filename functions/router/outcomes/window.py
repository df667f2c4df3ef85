"""The calls of a model's arms in one window, counted, and turned into an outcome at its end. No I/O, and no clock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from common.errors import InvalidEvent
from eventing.codecs.http import attribute_of
from eventing.distinct import Distinct
from eventing.label import prediction_digest
from eventing.outcome import BAD_OUTCOMES, MOST_ARMS, MOST_KEYS, MOST_PAIRS, ArmOutcome, ShadowOutcome
from functions.router.headers import value_of
from functions.router.outcomes.replies import FAILED, answers_of, disagreement, failed_statuses, scores_of
from functions.router.outcomes.reported import Reported
from functions.router.outcomes.sample import Draw, FailedReplies, Headers, Sample, SampledReply
from functions.runtime.knative.traffic import RoutedModel
from functions.runtime.observability.histogram import LATENCIES, Histogram

_EVENT_ID = b"ce-id"
_ERRORS, _REJECTIONS, _SLOW = BAD_OUTCOMES
_SHADOWED = "shadowed"
# The status of a call whose caller disconnected before the reply.
GIVEN_UP = 499
# Statuses that say nothing about what the arm made of the request: the caller's credentials, its path and method, the
# load, and its patience.
_NEUTRAL = frozenset({401, 403, 404, 405, 429, GIVEN_UP})
# Bad keys of a kind that are kept of a window, before those that will not be listed are dropped.
_MOST_KEPT_KEYS = 8 * MOST_KEYS
# Bytes of replies that a window keeps until its end: to batches with failed events, and to pairs.
_MOST_FAILED_BYTES = 8 * 2**20
_MOST_PAIR_BYTES = 8 * 2**20


class Observed(NamedTuple):
    """A call of an arm at its end.

    `items` are those of `Assigned`. `status` is 0 without a reply; `seconds` is the time to the head of the reply, or
    to the end of a small one. `body` is None where it was not kept.
    """

    revision: str
    items: tuple[int | None, ...]
    status: int
    seconds: float
    cold: bool
    draw: Draw
    body: bytes | None = None
    headers: Headers = ()


class Pair(NamedTuple):
    """The replies of the caller's revision and of the shadow to the same items."""

    items: tuple[int | None, ...]
    caller: bytes
    shadow: bytes


class Scored(NamedTuple):
    """A sampled item: the digests of its key and of its prediction's id, and its score."""

    key: int
    id: int
    score: float


class Summary(NamedTuple):
    """A window at its end."""

    arms: list[ArmOutcome]
    shadow: ShadowOutcome | None


def bad_outcome(status: int) -> str | None:
    """The kind of bad outcome that a status is; 0 is no reply."""
    if status >= 500 or status == 0:
        return _ERRORS
    return _REJECTIONS if status >= 400 and status not in _NEUTRAL else None


@dataclass(slots=True)
class _Tally:
    """The counts of an arm."""

    requests: int = 0
    cold: int = 0
    forced: int = 0
    bad: dict[str, int] = field(default_factory=lambda: dict.fromkeys(BAD_OUTCOMES, 0))
    keys: Distinct = field(default_factory=Distinct)
    latencies: Histogram = field(default_factory=lambda: Histogram(LATENCIES))


class Window:
    """The calls under one split of a model. `reported` is what was reported before in the same rollout."""

    def __init__(self, model: RoutedModel, reported: Reported) -> None:
        self._model = model
        self._slo = model.latency_slo
        self._reported = reported
        self._tallies = {arm.revision: _Tally() for arm in model.split}
        # The arm of each bad key by kind: the arm of its first bad outcome.
        self._bad_keys: dict[str, dict[int, str]] = {kind: {} for kind in BAD_OUTCOMES}
        self._sample = Sample()
        self._failed = FailedReplies(_MOST_FAILED_BYTES)
        self._pairs: list[Pair] = []
        self._pair_bytes = 0
        self._dropped = 0
        self._unanswered = 0

    def add(self, call: Observed) -> None:
        """Count a call. What needs its body is left for the end of the window."""
        revision, items, status, seconds, cold, draw, body, _ = call
        tally = self._tallies.get(revision)
        if tally is None:  # reached by its name only
            tally = self._tallies[revision] = _Tally()
        digests = [item for item in items if item is not None]
        count = len(digests)
        tally.forced += len(items) - count
        if not count:
            return
        tally.requests += count
        add_key = tally.keys.add
        for digest in digests:
            add_key(digest)
        if cold:
            tally.cold += count
        elif draw.items == 1:
            tally.latencies.add(seconds)
            if seconds > self._slo:
                self._count_bad(_SLOW, revision, digests)
        kind = bad_outcome(status) if not 200 <= status < 300 else None
        if kind is not None:
            self._count_bad(kind, revision, digests)
        elif body is not None and 200 <= status < 300:
            self._keep(call, body)

    def add_pair(self, pair: Pair) -> None:
        """Count a request that the shadow answered too."""
        size = len(pair.caller) + len(pair.shadow)
        if self._pair_bytes + size > _MOST_PAIR_BYTES:
            self._dropped += len(pair.items)
            return
        self._pair_bytes += size
        self._pairs.append(pair)

    def drop(self, items: int) -> None:
        """Count items of which no copy was sent."""
        self._dropped += items

    def fail(self, items: int) -> None:
        """Count items that the shadow did not answer."""
        self._unanswered += items

    def end(self) -> Summary:
        """The window as outcomes. Nothing may be added afterwards."""
        for reply in self._failed.replies():
            self._count_failed_events(reply)
        scores = self._scores()
        listed = self._listed_keys()
        percents = {arm.revision: arm.percent for arm in self._model.arms}
        # Of the arms that were called by their name only, those beyond the limit are left out.
        tallies = list(self._tallies.items())[:MOST_ARMS]
        arms = [
            ArmOutcome(
                revision=revision,
                percent=percents.get(revision, 0),
                requests=tally.requests,
                errors=tally.bad[_ERRORS],
                rejections=tally.bad[_REJECTIONS],
                slow=tally.bad[_SLOW],
                cold=tally.cold,
                forced=tally.forced,
                keys=tally.keys,
                latencies=tally.latencies.counts,
                scores=[item.score for item in scores.get(revision, ())],
                score_keys=[item.key for item in scores.get(revision, ())],
                score_ids=[item.id for item in scores.get(revision, ())],
                bad_keys=listed.get(revision, {}),
            )
            for revision, tally in tallies
        ]
        return Summary(arms, self._shadow())

    def _keep(self, call: Observed, body: bytes) -> None:
        reply = SampledReply(call.revision, call.items, body, call.headers)
        self._sample.add(call.draw, reply)
        if body.startswith(b"["):
            self._failed.add(call.draw, reply, has_failed=FAILED in body)

    def _count_bad(self, kind: str, revision: str, digests: Sequence[int]) -> None:
        self._tallies[revision].bad[kind] += len(digests)
        keys = self._bad_keys[kind]
        for digest in digests:
            keys.setdefault(digest, revision)
        if len(keys) > _MOST_KEPT_KEYS:
            self._bad_keys[kind] = {digest: keys[digest] for digest in sorted(keys)[:MOST_KEYS]}

    def _count_failed_events(self, reply: SampledReply) -> None:
        """Count the events of a batch that failed, each by the status of its problem."""
        statuses = failed_statuses(reply.body)
        if len(reply.items) == 1:  # events with the key of their request count as one
            statuses = [max(statuses, default=0)]
        for item, status in zip(reply.items, statuses, strict=False):
            kind = bad_outcome(status) if status else None
            if kind is not None and item is not None:
                self._count_bad(kind, reply.revision, [item])

    def _scores(self) -> dict[str, list[Scored]]:
        """The sampled items of each revision that have a key and a score."""
        found: dict[str, list[Scored]] = {}
        for reply in self._sample.replies():
            answers = answers_of(reply.body, len(reply.items), _event_id(reply.headers))
            found.setdefault(reply.revision, []).extend(
                Scored(item, prediction_digest(answer.id) if answer.id else 0, answer.numbers[0])
                for item, answer in zip(reply.items, answers, strict=True)
                if answer.numbers and item is not None
            )
        return found

    def _listed_keys(self) -> dict[str, dict[str, list[int]]]:
        """The bad keys to list, by revision and kind: the smallest digests that were not reported before."""
        new = [(digest, kind, keys[digest]) for kind, keys in self._bad_keys.items() for digest in self._reported.new(kind, keys)]
        listed: dict[str, dict[str, list[int]]] = {}
        for digest, kind, revision in sorted(new)[:MOST_KEYS]:
            self._reported.add(kind, digest)
            listed.setdefault(revision, {}).setdefault(kind, []).append(digest)
        return listed

    def _shadow(self) -> ShadowOutcome | None:
        if self._model.shadow is None:
            return None
        pairs = disagreements = 0
        first: dict[int, bool] = {}
        differences: list[float] = []
        for digest, disagrees, difference in self._compared():
            pairs += 1
            disagreements += disagrees
            first.setdefault(digest, disagrees)
            if len(differences) < MOST_PAIRS:
                differences.append(difference)
        keys = sorted(self._reported.new(_SHADOWED, first))[:MOST_PAIRS]
        for digest in keys:
            self._reported.add(_SHADOWED, digest)
        return ShadowOutcome(
            revision=self._model.shadow.revision,
            pairs=pairs,
            disagreements=disagreements,
            dropped=self._dropped,
            failed=self._unanswered,
            differences=differences,
            keys=[(digest, first[digest]) for digest in keys],
        )

    def _compared(self) -> Iterator[tuple[int, bool, float]]:
        """The digest of each item that both answered, whether the answers disagree, and their difference."""
        for pair in self._pairs:
            count = len(pair.items)
            answers = zip(pair.items, scores_of(pair.caller, count), scores_of(pair.shadow, count), strict=True)
            for digest, caller, shadow in answers:
                compared = disagreement(caller, shadow, self._model.shadow_tolerance)
                if digest is not None and compared is not None:
                    yield digest, *compared


def _event_id(headers: Headers) -> str | None:
    """The id of an event in binary mode. One that cannot be read is none."""
    value = value_of(headers, _EVENT_ID)
    try:
        return None if value is None else attribute_of("id", value.decode("latin-1")) or None
    except InvalidEvent:
        return None
