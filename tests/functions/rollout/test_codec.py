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
from functions.rollout.evidence.correctness import Correctness
from functions.rollout.evidence.drift import BINS, REFERENCE_SCORES, Drift
from functions.rollout.evidence.loss import THETAS, ArmLoss, Loss
from functions.rollout.evidence.predictions import MOST_EARLY, MOST_PREDICTIONS, Known, Prediction, Predictions
from functions.rollout.evidence.proportion import Disagreement
from functions.rollout.evidence.sample import MOST_DIGESTS, Sample
from functions.rollout.routers import MOST_ROUTERS, Ignored, Routers
from functions.rollout.state import MOST_COUNT, MOST_DECISIONS, ArmCounts, Decision, Kind, Phase, State
from tests.functions.rollout.examples import a_state, sketch

REALS = st.floats(-1e300, 1e300)
NUMBERS = st.floats(0, 1e300)
COUNTS = st.integers(0, MOST_COUNT)
DIGESTS = st.integers(0, 2**32 - 1)
PRINTABLE = st.characters(codec="ascii", exclude_categories=["Cc"])
NAMES = st.text(PRINTABLE, max_size=253)
SAMPLES = st.lists(DIGESTS, max_size=30).map(lambda digests: Sample().admit(digests)[0])
ARMS = st.builds(ArmCounts, requests=COUNTS, errors=COUNTS, latencies=st.tuples(*[COUNTS] * 18))
DECISIONS = st.builds(
    Decision,
    kind=st.sampled_from(Kind),
    sentence=st.text(PRINTABLE, max_size=512),
    percent=st.integers(0, 100),
    phase=st.sampled_from(Phase),
    metric=st.sampled_from([*BAD_OUTCOMES, "drift"]),
    e_value=NUMBERS,
    threshold=NUMBERS,
    counts=st.dictionaries(st.sampled_from(["keys", "failed"]), COUNTS),
    at=NUMBERS,
)
SINGLES = st.floats(-(2.0**100), 2.0**100, width=32)
ARM_LOSSES = st.builds(ArmLoss, COUNTS, NUMBERS, COUNTS)
LOSSES = st.builds(
    Loss,
    kind=st.sampled_from(["log", "absolute"]),
    logs=st.tuples(*[REALS] * 2 * len(THETAS)),
    means=st.tuples(*[st.floats(1e-300, 1e300)] * 2 * len(THETAS)),
    error=NUMBERS,
    canary=ARM_LOSSES,
    rest=ARM_LOSSES,
)
PREDICTIONS = st.builds(
    Predictions,
    held=st.dictionaries(DIGESTS, st.builds(Prediction, DIGESTS, SINGLES, st.booleans(), st.integers(0, 99)), max_size=20),
    early=st.lists(st.builds(Known, SINGLES, id=DIGESTS, key=DIGESTS), max_size=20).map(tuple),
    repeated=COUNTS,
    given_up=COUNTS,
    incomparable=COUNTS,
)
STATES = st.builds(
    State,
    rollout=NAMES,
    model=NAMES,
    stable=NAMES,
    canary=NAMES,
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
    correctness=st.builds(Correctness, LOSSES, PREDICTIONS),
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
    name = '"' * 253  # two characters each in JSON
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
        correctness=Correctness(
            Loss(
                "absolute",
                (worst,) * 2 * len(THETAS),
                (1e300 / 7,) * 2 * len(THETAS),
                1e300 / 7,
                ArmLoss(MOST_COUNT, 1e300 / 7, MOST_COUNT),
                ArmLoss(MOST_COUNT, 1e300 / 7, MOST_COUNT),
            ),
            Predictions(
                dict.fromkeys(draw.sample(range(2**32), MOST_PREDICTIONS), Prediction(2**32 - 1, -3.0, True, 99)),
                0,
                (Known(1.0, 2**32 - 1, 2**32 - 1),) * MOST_EARLY,
                MOST_COUNT,
                MOST_COUNT,
                MOST_COUNT,
            ),
        ),
        unlisted=MOST_COUNT,
        stable_counts=LARGEST_COUNTS,
        canary_counts=LARGEST_COUNTS,
        routers=routers,
        ignored=dict.fromkeys(Ignored, MOST_COUNT),
        decisions=(Decision(kind=Kind.INCONCLUSIVE, sentence='"' * 512, percent=100, counts={"others": MOST_COUNT}),) * MOST_DECISIONS,
    )

    text = encode(largest)

    assert decode(text) == largest
    assert len(text.encode()) <= MOST_BYTES
    assert MOST_BYTES <= 256 * 1024 / 2


VALID: dict[str, Any] = orjson.loads(encode(a_state()))
ONE = {"keys": "/////w==", "ids": "AAAAAA==", "scores": "AAAAAA==", "arms": "FA=="}


def test_a_state_of_the_version_before_labels_is_read() -> None:
    before = a_state(elapsed=7.0)
    fields = {name: value for name, value in orjson.loads(encode(before)).items() if name != "correctness"}

    assert decode(orjson.dumps(fields | {"version": 1}).decode()) == before
    with pytest.raises(InvalidState, match="it has no correctness"):
        decode(orjson.dumps(fields).decode())


@given(st.text(max_size=600))
def test_a_sentence_is_kept_in_few_bytes(sentence: str) -> None:
    decision = Decision(kind=Kind.HOLD, sentence=sentence, percent=5)
    (kept,) = decode(encode(a_state(decisions=(decision,)))).decisions

    assert len(kept.sentence.encode()) <= 512
    assert kept.sentence.isprintable()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"version": 3}, "its version is none of 1, 2"),
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
        ({"model": "\n"}, "a text is too long, or not a printable string"),
        ({"canary": "\u00e9"}, "a name is not ASCII"),
        ({"correctness": VALID["correctness"] | {"loss": "squared"}}, "a loss is neither log nor absolute"),
        ({"correctness": VALID["correctness"] | {"means": [0] * 8}}, "a number is not positive"),
        ({"correctness": VALID["correctness"] | {"keys": "AAAAAA=="}}, "is shorter than argument 1"),
        ({"correctness": VALID["correctness"] | ONE | {"arms": "ZA=="}}, "a count is not an integer in its bounds"),
        ({"correctness": VALID["correctness"] | ONE | {"halvings": 1}}, "some above their threshold"),
        ({"correctness": VALID["correctness"] | ONE | {"scores": "AADAfw=="}}, "a number is not finite"),
        ({"correctness": VALID["correctness"] | {"early": ["AAAAAA=="] * 2 + ["AADAfw=="]}}, "a number is not finite"),
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
