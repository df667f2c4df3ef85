import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.flights.evaluation import auc, calibration, evaluate, log_loss

# Few distinct scores, so that ties are common.
_scored = st.lists(st.tuples(st.booleans(), st.integers(0, 8).map(lambda eighths: eighths / 8)), min_size=1, max_size=60)


def _columns(rows: list[tuple[bool, float]]) -> tuple[list[bool], list[float]]:
    return [late for late, _ in rows], [score for _, score in rows]


@given(_scored)
def test_auc_is_the_share_of_pairs_in_the_right_order(rows: list[tuple[bool, float]]) -> None:
    true = [score for late, score in rows if late]
    false = [score for late, score in rows if not late]
    wins = sum(1.0 if a > b else 0.5 if a == b else 0.0 for a in true for b in false)
    found = auc(*_columns(rows))
    if true and false:
        assert found == wins / (len(true) * len(false))
    else:
        assert math.isnan(found)


def test_auc_of_one_score_for_all_is_one_half() -> None:
    assert auc([True, False, False], [0.3, 0.3, 0.3]) == 0.5


@given(_scored)
def test_log_loss_is_the_mean_of_its_definition(rows: list[tuple[bool, float]]) -> None:
    clipped = [(late, min(max(score, 1e-15), 1 - 1e-15)) for late, score in rows]
    expected = sum(-math.log(score if late else 1 - score) for late, score in clipped) / len(rows)
    assert log_loss(*_columns(rows)) == pytest.approx(expected, rel=1e-9)


def test_a_certain_score_that_is_wrong_costs_much_but_not_everything() -> None:
    assert 30 < log_loss([True], [0.0]) < 40


@given(_scored)
def test_each_row_is_in_one_bin(rows: list[tuple[bool, float]]) -> None:
    bins = calibration(*_columns(rows))
    assert sum(item.rows for item in bins) == len(rows)
    assert [item.predicted for item in bins] == sorted({item.predicted for item in bins})
    assert sum(item.rows * item.observed for item in bins) == pytest.approx(sum(late for late, _ in rows))


def test_bins_have_equal_counts_where_scores_differ() -> None:
    scores = [index / 1000 for index in range(1000)]
    assert [item.rows for item in calibration([True] * 1000, scores)] == [100] * 10


def test_a_predictor_that_says_what_happens_has_no_calibration_error() -> None:
    outcomes = [True, False, False, False] * 100 + [True, True, True, False] * 100
    scores = [0.25] * 400 + [0.75] * 400
    evaluation = evaluate(outcomes, scores)
    assert evaluation.calibration_error == 0
    assert len(evaluation.bins) == 2
    assert evaluate(outcomes, [score / 2 for score in scores]).calibration_error == 0.25


@pytest.mark.parametrize(("outcomes", "scores"), [([], []), ([True], [0.1, 0.2]), ([[True]], [[0.1]])])
def test_lists_that_do_not_pair_are_refused(outcomes: list[bool], scores: list[float]) -> None:
    with pytest.raises(ValueError, match="two lists of one length"):
        log_loss(outcomes, scores)
