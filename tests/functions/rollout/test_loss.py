from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.rollout.evidence.loss import THETAS, Kind, Labelled, Loss

KINDS: st.SearchStrategy[Kind] = st.sampled_from(["log", "absolute"])
ONES = st.builds(Labelled, st.floats(0, 1), st.sampled_from([0.0, 1.0]), st.booleans(), st.floats(0.01, 0.99))
ANY = st.builds(Labelled, st.floats(-1e300, 1e300), st.floats(-1e300, 1e300), st.booleans(), st.floats(0.01, 0.99))


@given(KINDS, st.lists(ONES, max_size=30), ONES)
def test_the_expectation_under_equal_arms_is_one(kind: Kind, before: list[Labelled], one: Labelled) -> None:
    """Over the arm of the next key, whatever came before and whatever its loss is."""
    loss = Loss(kind=kind).observe(before)
    canary, rest = (loss.observe([one._replace(canary=canary)]) for canary in (True, False))

    for of in ("worse", "better"):
        expected = one.weight * getattr(canary, of) + (1 - one.weight) * getattr(rest, of)
        assert expected == pytest.approx(getattr(loss, of), rel=1e-9)
    assert canary.means == rest.means, "what later bets are made of does not depend on the arm"


@given(st.lists(ONES, max_size=30))
def test_the_process_is_the_mean_over_the_alternatives(labelled: list[Labelled]) -> None:
    """As it is written in the documentation, with the mean over earlier keys and one key of each loss from 0 to 1."""
    products = []
    for theta in THETAS:
        product, earlier = 1.0, [math.expm1(theta) / theta]
        for one in labelled:
            u = (one.score - one.value) ** 2
            c = math.log(sum(earlier) / len(earlier)) / theta
            tilted = one.weight * math.exp(theta * (u - c))
            q = tilted / (tilted + 1 - one.weight)
            product *= q / one.weight if one.canary else (1 - q) / (1 - one.weight)
            earlier.append(math.exp(theta * u))
        products.append(product)

    assert Loss().observe(labelled).worse == pytest.approx(sum(products) / len(products))


@given(KINDS, st.lists(ANY, max_size=30))
def test_no_number_breaks_the_evidence(kind: Kind, labelled: list[Labelled]) -> None:
    loss = Loss(kind=kind)
    loss = loss.observe([one for one in labelled if loss.compares(one.score, one.value)])

    numbers = (*loss.logs, *loss.means, loss.error, loss.canary.loss, loss.rest.loss, loss.worse, loss.better)
    assert all(map(math.isfinite, numbers))
    assert min(loss.means) > 0


def test_the_scale_of_a_number_does_not_matter() -> None:
    draw = random.Random(4)  # noqa: S311 not for secrets
    labelled = [Labelled(draw.gauss(0, 1), draw.gauss(0, 2), draw.random() < 0.2, 0.2) for _ in range(200)]
    large = [one._replace(score=one.score * 1e6, value=one.value * 1e6) for one in labelled]
    small, great = (Loss(kind="absolute").observe(ones) for ones in (labelled, large))

    assert great.worse == pytest.approx(small.worse)
    assert great.canary.loss == pytest.approx(1e6 * small.canary.loss)


def test_a_canary_that_is_wrong_is_found_and_one_that_is_right_too() -> None:
    draw, loss = random.Random(3), Loss()  # noqa: S311 not for secrets
    for _ in range(600):
        canary, truth = draw.random() < 0.2, draw.random()
        score = draw.random() if canary else truth
        loss = loss.observe([Labelled(score, float(draw.random() < truth), canary, 0.2)])
    assert loss.worse > 1_000
    assert loss.better < 1
    assert loss.canary.wrong / loss.canary.keys > 0.4
    assert loss.rest.wrong / loss.rest.keys < 0.3
    assert loss.canary.loss > loss.rest.loss

    swapped = Loss()
    draw = random.Random(3)  # noqa: S311 not for secrets
    for _ in range(600):
        canary, truth = draw.random() < 0.2, draw.random()
        score = truth if canary else draw.random()
        swapped = swapped.observe([Labelled(score, float(draw.random() < truth), canary, 0.2)])
    assert swapped.better > 1_000
    assert swapped.worse < 1


def test_a_canary_that_is_too_sure_is_not_better() -> None:
    """Both say rightly what is more probable, but one says 0.95 of what happens in 7 of 10."""
    draw, loss = random.Random(5), Loss()  # noqa: S311 not for secrets
    for index in range(2_000):
        canary = bool(index % 2)
        loss = loss.observe([Labelled(0.95 if canary else 0.7, float(draw.random() < 0.7), canary, 0.5)])

    assert loss.canary.loss > loss.rest.loss
    assert loss.better < 1


@pytest.mark.parametrize(
    ("kind", "score", "value", "compared"),
    [("log", 0.5, 1.0, True), ("log", 1.5, 1.0, False), ("log", 0.5, 0.3, False), ("log", -0.1, 0.0, False), ("absolute", 9.0, -3.0, True)],
)
def test_log_loss_is_of_a_probability_and_a_class(kind: Kind, score: float, value: float, compared: bool) -> None:
    assert Loss(kind=kind).compares(score, value) is compared


def test_a_prediction_that_was_certain_and_wrong_has_a_finite_loss() -> None:
    loss = Loss().observe([Labelled(0.0, 1.0, True, 0.2)])

    assert loss.canary.loss == pytest.approx(34.5, abs=0.1)
    assert loss.canary.wrong == 1
