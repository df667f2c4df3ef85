import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.evaluation import auc, bins_of, brier_score, calibration, evaluate, log_loss, mean_absolute_error

# Few distinct scores, so that ties are common.
_scored = st.lists(st.tuples(st.booleans(), st.integers(0, 8).map(lambda eighths: eighths / 8)), min_size=1, max_size=60)


def _columns(rows: list[tuple[bool, float]]) -> tuple[list[bool], list[float]]:
    return [late for late, _ in rows], [score for _, score in rows]


@given(_scored)
def test_auc_is_the_share_of_correctly_ordered_pairs(rows: list[tuple[bool, float]]) -> None:
    true = [score for late, score in rows if late]
    false = [score for late, score in rows if not late]
    wins = sum(1.0 if a > b else 0.5 if a == b else 0.0 for a in true for b in false)
    found = auc(*_columns(rows))
    if true and false:
        assert found == wins / (len(true) * len(false))
    else:
        assert math.isnan(found)


def test_auc_of_equal_scores_is_one_half() -> None:
    assert auc([True, False, False], [0.3, 0.3, 0.3]) == 0.5


@given(_scored)
def test_log_loss_equals_its_definition(rows: list[tuple[bool, float]]) -> None:
    clipped = [(late, min(max(score, 1e-15), 1 - 1e-15)) for late, score in rows]
    expected = sum(-math.log(score if late else 1 - score) for late, score in clipped) / len(rows)
    assert log_loss(*_columns(rows)) == pytest.approx(expected, rel=1e-9)


@given(_scored)
def test_brier_score_equals_its_definition(rows: list[tuple[bool, float]]) -> None:
    expected = sum((score - late) ** 2 for late, score in rows) / len(rows)
    assert brier_score(*_columns(rows)) == pytest.approx(expected)


@given(_scored)
def test_bins_of_scores_are_those_of_the_calibration(rows: list[tuple[bool, float]]) -> None:
    outcomes, scores = _columns(rows)
    places = bins_of(scores).tolist()
    assert [places.count(number) for number in range(max(places) + 1)] == [item.rows for item in calibration(outcomes, scores)]
    assert len(set(zip(scores, places, strict=True))) == len(set(scores))


def test_certain_wrong_score_has_a_finite_log_loss() -> None:
    assert 30 < log_loss([True], [0.0]) < 40


@given(_scored)
def test_every_row_is_in_one_bin(rows: list[tuple[bool, float]]) -> None:
    bins = calibration(*_columns(rows))
    assert sum(item.rows for item in bins) == len(rows)
    assert [item.predicted for item in bins] == sorted({item.predicted for item in bins})
    assert sum(item.rows * item.observed for item in bins) == pytest.approx(sum(late for late, _ in rows))


def test_bins_of_distinct_scores_have_equal_counts() -> None:
    scores = [index / 1000 for index in range(1000)]
    assert [item.rows for item in calibration([True] * 1000, scores)] == [100] * 10


def test_calibrated_scores_have_no_calibration_error() -> None:
    outcomes = [True, False, False, False] * 100 + [True, True, True, False] * 100
    scores = [0.25] * 400 + [0.75] * 400
    evaluation = evaluate(outcomes, scores)
    assert evaluation.calibration_error == 0
    assert len(evaluation.bins) == 2
    assert evaluate(outcomes, [score / 2 for score in scores]).calibration_error == 0.25


@pytest.mark.parametrize(("outcomes", "scores"), [([], []), ([True], [0.1, 0.2]), ([[True]], [[0.1]])])
def test_lists_of_different_or_no_length_are_refused(outcomes: list[bool], scores: list[float]) -> None:
    with pytest.raises(ValueError, match="two non-empty lists of one length"):
        log_loss(outcomes, scores)


def test_card_has_numbers_of_5_decimals() -> None:
    card = evaluate([True, False, True], [0.1234567, 0.2, 0.9]).to_card()
    assert card["rows"] == 3
    assert card["bins"][0] == {"rows": 1, "predicted": 0.12346, "observed": 1.0}
    assert card["log_loss"] == round(card["log_loss"], 5)


def test_mean_absolute_error_takes_one_prediction_for_all() -> None:
    assert mean_absolute_error([1.0, 2.0, 3.5], [1.0, 3.0, 3.0]) == 0.5
    assert mean_absolute_error([1.0, 3.0], 2.0) == 1.0
