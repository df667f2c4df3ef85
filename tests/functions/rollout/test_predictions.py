from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from functions.rollout.evidence.correctness import Correctness
from functions.rollout.evidence.predictions import MOST_EARLY, MOST_PREDICTIONS, Joined, Known, Predictions, Scored, short

KEYS = st.integers(0, 40)
WINDOWS = st.lists(st.dictionaries(KEYS, st.tuples(st.booleans(), st.integers(1, 60)), max_size=12), max_size=6)
LABELS = st.lists(
    st.builds(Known, st.sampled_from([0.0, 1.0]), id=st.integers(1, 60).map(short))
    | st.builds(Known, st.sampled_from([0.0, 1.0]), key=KEYS),
    max_size=30,
)


def always(_: float, __: float) -> bool:
    return True


def window(items: dict[int, tuple[bool, int]]) -> tuple[dict[int, Scored], dict[int, Scored]]:
    arms: tuple[dict[int, Scored], dict[int, Scored]] = ({}, {})
    for key, (canary, identity) in items.items():
        arms[not canary][key] = Scored(identity, 0.5)
    return arms


@given(WINDOWS, st.lists(LABELS, max_size=6))
def test_each_key_gets_one_label_in_any_number_of_windows(windows: list[dict[int, tuple[bool, int]]], batches: list[list[Known]]) -> None:
    predictions, joined = Predictions(), list[Joined]()
    for index in range(max(len(windows), len(batches))):
        for items in windows[index : index + 1]:
            predictions, found = predictions.observe(*window(items), percent=20, compares=always)
            joined += found
        for labels in batches[index : index + 1] * 2:  # each is delivered twice
            predictions, found = predictions.label(labels, always)
            joined += found

    labelled = [key for key, prediction in predictions.held.items() if not prediction.percent]
    assert len(joined) == len(labelled)
    first: dict[int, tuple[bool, int]] = {}
    for items in windows[: max(len(windows), len(batches))]:
        first = {**items, **first}
    assert set(predictions.held) == set(first)
    counted = Counter((one.prediction.id, one.prediction.canary) for one in joined)
    assert not counted - Counter((short(identity), canary) for canary, identity in first.values()), "a later prediction does not count"


@given(WINDOWS, LABELS)
def test_a_label_may_come_before_its_prediction(windows: list[dict[int, tuple[bool, int]]], labels: list[Known]) -> None:
    after, before = Predictions(), Predictions().label(labels, always)[0]
    for items in windows:
        after = after.observe(*window(items), percent=20, compares=always)[0]
        before = before.observe(*window(items), percent=20, compares=always)[0]
    after = after.label(labels, always)[0]

    assert before.waiting == after.waiting


def test_keys_are_taken_in_the_order_of_their_digests() -> None:
    predictions, _ = Predictions().observe({3: Scored(30, 0.5), 1: Scored(10, 0.1)}, {2: Scored(20, 0.2)}, percent=20, compares=always)
    _, joined = predictions.label([Known(1.0, key=3), Known(1.0, id=short(20)), Known(0.0, key=1)], always)

    assert [one.prediction.id for one in joined] == [short(10), short(20), short(30)]


def test_memory_is_bounded_and_no_key_counts_again() -> None:
    predictions, joined = Predictions(), 0
    for number in range(12_000):
        key = number * 2_654_435_761 % 2**32
        predictions, _ = predictions.observe({key: Scored(number + 1, 0.5)}, {}, percent=50, compares=always)
        predictions, found = predictions.label([Known(1.0, key=key), Known(1.0, id=short(10**6 + number))], always)
        joined += len(found)
        assert len(predictions.held) <= MOST_PREDICTIONS
        assert len(predictions.early) <= MOST_EARLY
    assert predictions.halvings == 4
    assert MOST_PREDICTIONS < joined < 12_000
    assert joined + predictions.unmatched == 2 * 12_000

    for number in range(12_000):
        key = number * 2_654_435_761 % 2**32
        again, found = predictions.observe({key: Scored(number + 1, 0.5)}, {}, percent=50, compares=always)
        assert again == predictions
        assert not found


def test_repeated_unmatched_and_incomparable_labels_are_counted() -> None:
    predictions, _ = Predictions().observe({1: Scored(10, 0.5), 2: Scored(0, 0.5)}, {}, percent=20, compares=always)
    labels = [Known(1.0, key=1), Known(0.0, id=short(10)), Known(1.0, id=short(99)), Known(1.0, id=short(99))]
    predictions, joined = predictions.label(labels, always)
    assert [one.value for one in joined] == [1.0], "the first one counts"
    assert (predictions.repeated, predictions.unmatched, predictions.waiting) == (2, 1, 1)

    predictions, joined = predictions.label([Known(7.0, key=2)], lambda score, value: False)
    assert (joined, predictions.incomparable, predictions.waiting) == ([], 1, 1)


def test_a_digest_in_both_arms_waits_for_no_label() -> None:
    predictions, _ = Predictions().observe({1: Scored(10, 0.5)}, {1: Scored(20, 0.5)}, percent=20, compares=always)

    assert predictions.label([Known(1.0, key=1)], always)[1] == []


def test_another_kind_of_loss_begins_again() -> None:
    correctness = Correctness().observe({1: Scored(10, 0.5)}, {2: Scored(20, 0.5)}, percent=20, kind="log")
    correctness = correctness.label([Known(1.0, key=1)], kind="log")
    assert correctness.loss.canary.keys == 1
    changed = correctness.label([Known(7.0, key=2)], kind="absolute")
    assert (changed.loss.canary.keys, changed.loss.rest.keys) == (0, 1)


def test_a_window_with_one_arm_says_nothing() -> None:
    for percent in (0, 100):
        assert Correctness().observe({1: Scored(10, 0.5)}, {}, percent=percent, kind="log") == Correctness()
