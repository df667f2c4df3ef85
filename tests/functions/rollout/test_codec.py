from __future__ import annotations

import random
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventing.outcome import BAD_OUTCOMES
from functions.rollout.codec import MOST_BYTES, decode, encode
from functions.rollout.errors import InvalidState
from functions.rollout.evidence.comparison import RATIOS, Comparison
from functions.rollout.evidence.drift import BINS, REFERENCE_SCORES, Drift
from functions.rollout.evidence.proportion import Disagreement
from functions.rollout.evidence.sample import MOST_DIGESTS, Sample
from functions.rollout.routers import MOST_ROUTERS, Ignored, Routers
from functions.rollout.state import MOST_COUNT, MOST_DECISIONS, ArmCounts, Decision, Kind, Phase, State
from tests.functions.rollout.examples import a_state, sketch

REALS = st.floats(-1e300, 1e300)
NUMBERS = st.floats(0, 1e300)
COUNTS = st.integers(0, MOST_COUNT)
DIGESTS = st.integers(0, 2**32 - 1)
SAMPLES = st.lists(DIGESTS, max_size=30).map(lambda digests: Sample().admit(digests)[0])
ARMS = st.builds(ArmCounts, requests=COUNTS, errors=COUNTS, latencies=st.tuples(*[COUNTS] * 18))
DECISIONS = st.builds(
    Decision,
    kind=st.sampled_from(Kind),
    sentence=st.text(max_size=512),
    percent=st.integers(0, 100),
    phase=st.sampled_from(Phase),
    metric=st.sampled_from([*BAD_OUTCOMES, "drift"]),
    e_value=NUMBERS,
    threshold=NUMBERS,
    counts=st.dictionaries(st.sampled_from(["keys", "failed"]), COUNTS),
    at=NUMBERS,
)
STATES = st.builds(
    State,
    rollout=st.text(max_size=253),
    model=st.text(max_size=253),
    stable=st.text(max_size=253),
    canary=st.text(max_size=253),
    percent=st.integers(0, 100),
    phase=st.sampled_from(Phase),
    started=NUMBERS,
    clock=NUMBERS,
    elapsed=NUMBERS,
    step_elapsed=NUMBERS,
    approved=st.integers(0, 100),
    comparisons=st.fixed_dictionaries(
        {name: st.builds(Comparison, st.tuples(*[REALS] * len(RATIOS)), COUNTS, COUNTS, SAMPLES) for name in BAD_OUTCOMES}
    ),
    drift=st.builds(Drift, edges=st.tuples(*[REALS] * (BINS - 1)), canary=st.tuples(*[COUNTS] * BINS), log=REALS, sample=SAMPLES)
    | st.builds(Drift, reference=st.lists(REALS, max_size=9).map(tuple)),
    disagreement=st.builds(Disagreement, COUNTS, COUNTS, SAMPLES),
    stable_keys=st.lists(DIGESTS).map(sketch),
    failed_keys=st.lists(DIGESTS).map(sketch),
    unlisted=COUNTS,
    canary_counts=ARMS,
    ignored=st.fixed_dictionaries(dict.fromkeys(Ignored, COUNTS)),
    decisions=st.lists(DECISIONS, max_size=MOST_DECISIONS).map(tuple),
)


@settings(max_examples=30)
@given(STATES)
def test_a_state_survives_its_text(state: State) -> None:
    text = encode(state)

    assert decode(text) == state
    assert len(text.encode()) <= MOST_BYTES


LARGEST_COUNTS = ArmCounts(MOST_COUNT, MOST_COUNT, MOST_COUNT, MOST_COUNT, MOST_COUNT, MOST_COUNT, (MOST_COUNT,) * 18)


def test_the_largest_state_is_below_its_bound() -> None:
    draw = random.Random(1)  # noqa: S311 not for secrets
    full = Sample().admit(draw.sample(range(2**32), MOST_DIGESTS))[0]
    routers = Routers()
    for number in range(2 * MOST_ROUTERS):
        routers = routers.add(f"router-{number}", 2**53, 1e15 / 7 + number).add(f"router-{number}", 2**53 - 2, 1e15 / 7)
    name = "\u0001" * 253  # six characters each in JSON
    worst = -1.2345678901234567e-300
    largest = a_state(
        rollout=name,
        model=name,
        stable=name,
        canary=name,
        started=1e15 / 7,
        clock=1e15 / 7,
        elapsed=1e15 / 7,
        comparisons={kind: Comparison((worst,) * len(RATIOS), MOST_COUNT, MOST_COUNT, full) for kind in BAD_OUTCOMES},
        drift=Drift(
            (1e300 / 7,) * (REFERENCE_SCORES - 1), (), (MOST_COUNT,) * BINS, (MOST_COUNT,) * BINS, (1e300 / 7,) * BINS, worst, full
        ),
        disagreement=Disagreement(MOST_COUNT, MOST_COUNT, full),
        unlisted=MOST_COUNT,
        stable_counts=LARGEST_COUNTS,
        canary_counts=LARGEST_COUNTS,
        routers=routers,
        ignored=dict.fromkeys(Ignored, MOST_COUNT),
        decisions=(Decision(kind=Kind.INCONCLUSIVE, sentence="\u0001" * 512, percent=100, counts={"others": MOST_COUNT}),) * MOST_DECISIONS,
    )

    text = encode(largest)

    assert decode(text) == largest
    assert len(text.encode()) <= MOST_BYTES
    assert MOST_BYTES <= 256 * 1024 / 2


VALID: dict[str, Any] = orjson.loads(encode(a_state()))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"version": 2}, "its version is not 1"),
        ({"percent": 101}, "a count is not an integer in its bounds"),
        ({"percent": 5.0}, "a count is not an integer in its bounds"),
        ({"phase": "lost"}, "'lost' is not a valid Phase"),
        ({"clock": "now"}, "a number is not finite"),
        ({"elapsed": -1}, "a number is negative"),
        ({"evidence": {}}, "it has no errors"),
        ({"keys": VALID["keys"] | {"step": "AAAA"}}, "the sketch of distinct keys is not base64"),
        ({"routers": [["name", 1]]}, "not enough values to unpack"),
        ({"routers": [["name", 1, "1" * 17, 0, 0]]}, "the sequence numbers of a router are out of bounds"),
        ({"decisions": [{}] * 9}, "a list is not one of at most 8 items"),
        ({"drift": VALID["drift"] | {"edges": "AAAAAAAAAAA="}}, "the bins of scores are incomplete"),
        ({"disagreement": VALID["disagreement"] | {"sample": [33, ""]}}, "a count is not an integer in its bounds"),
        ({"disagreement": VALID["disagreement"] | {"sample": [1, "/////w=="]}}, "digests above its threshold"),
        ({"disagreement": VALID["disagreement"] | {"sample": [0, "AAA="]}}, "unpack requires"),
        ({"disagreement": None}, "object is not subscriptable"),
    ],
)
def test_another_text_is_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidState) as raised:
        decode(orjson.dumps(VALID | changes).decode())

    assert sentence in str(raised.value)
    assert "tidegate.dev/rollout-state cannot be read" in str(raised.value)


@settings(max_examples=50)
@given(
    st.text()
    | st.recursive(st.none() | st.integers(-(2**63), 2**63) | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
)
def test_any_text_is_read_or_refused(value: Any) -> None:
    text = value if isinstance(value, str) else orjson.dumps(VALID | {"evidence": value, "routers": value}).decode("utf-8", "replace")
    with pytest.raises(InvalidState):
        decode(text)
