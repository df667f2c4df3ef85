"""A part of `python -m loadtest.rollout`: a hundred rollouts of each kind, with fixed seeds.

If the probability of an alarm is at most alpha, the number of alarms of a scenario is above `most_alarms` with a
probability of at most one in a thousand, whatever the seeds are. So a failure is a fault, or a very unlucky change of
the random numbers, and a rule that alarms twice as often as it may fails.
"""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from loadtest.rollout import scenarios
from loadtest.rollout.__main__ import SEED
from loadtest.rollout.intervals import at_most, upper_bound
from loadtest.rollout.simulation import Look, Scenario, better, detected, drift, harm, highest, safety
from loadtest.rollout.usual import share_rolled_back

# The rules are covered by their own tests; a tracer would make the simulations twice as long.
pytestmark = pytest.mark.no_cover

ALPHA = 0.05
CASES: list[tuple[Scenario, Look]] = [
    *((scenario, harm) for scenario in (*scenarios.EQUAL_ARMS, scenarios.BETTER)),
    *((scenario, harm) for scenario in scenarios.EQUAL_LOSSES),
    (scenarios.EQUALLY_CORRECT, better),
    (scenarios.DRIFT, drift),
    (scenarios.PROMOTION, safety),
]


def most_alarms(runs: int) -> int:
    return next(alarms for alarms in range(runs) if at_most(alarms, runs, ALPHA) > 0.999)


@pytest.mark.parametrize(("scenario", "look"), CASES, ids=[scenario.name for scenario, _ in CASES])
def test_equal_arms_raise_no_more_alarms_than_alpha(scenario: Scenario, look: Look) -> None:
    runs = 100
    alarms = sum(highest(scenario, (17, run), look) >= 1 / ALPHA for run in range(runs))

    assert alarms <= most_alarms(runs)


def test_counting_every_error_of_sticky_keys_would_alarm_too_often() -> None:
    """The scenario is one in which it matters that each key counts once."""
    runs = 100
    alarms = sum(highest(scenarios.AS_IF_INDEPENDENT, (18, run)) >= 1 / ALPHA for run in range(runs))

    assert alarms > most_alarms(runs)


@pytest.mark.parametrize(("scenario", "most"), [(scenarios.DETECTION[1], 1_300), (scenarios.DETECTION[2], 260)])
def test_a_bad_canary_is_found_soon(scenario: Scenario, most: int) -> None:
    """The medians of 1,000 rollouts are two thirds of these bounds."""
    assert np.median([detected(scenario, (19, run)).requests for run in range(25)]) <= most


def test_the_default_policy_finds_a_canary_with_errors_nearly_as_soon() -> None:
    """By 1,000 rollouts, the median of five times as many errors is below 1,000 requests, and of twenty times below 200."""
    for scenario, most in ((scenarios.DETECTION[1], 1_000), (scenarios.DETECTION[2], 200)):
        found = scenarios.with_policy(scenario, scenarios.DEFAULT_POLICY)
        assert np.median([detected(found, (SEED, 101 + (most == 200), run)).requests for run in range(60)]) <= most


def test_a_canary_that_is_healthy_but_wrong_is_found() -> None:
    """By labels that are late, half of which never arrive: by the default policy, in a few hundred labelled keys."""
    scenario = scenarios.with_policy(scenarios.WRONG[-1], scenarios.DEFAULT_POLICY)
    assert np.median([detected(scenario, (21, run)).labelled for run in range(11)]) <= 400


def test_the_usual_rule_rolls_good_canaries_back() -> None:
    random = np.random.default_rng(20)

    assert 0.75 < share_rolled_back(runs=2_000, checks=30, requests=50, rate=0.005, limit=0.01, in_a_row=False, random=random) < 0.9
    assert share_rolled_back(runs=100, checks=30, requests=50, rate=0.0, limit=0.01, in_a_row=True, random=random) == 0


def test_the_command_prints_its_tables() -> None:
    command = [sys.executable, "-m", "loadtest.rollout", "--runs", "1", "--processes", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    for scenario, _ in CASES:
        assert f"| {scenario.name} | " in done.stdout
    assert "| 20 times | default | " in done.stdout
    assert f"| {scenarios.WRONG[0].name} | default | " in done.stdout
    assert "| 0.5% | 30 | " in done.stdout


@pytest.mark.parametrize(("events", "trials", "expected"), [(0, 100, 0.02951), (5, 100, 0.10225), (100, 10_000, 0.01180), (10, 10, 1.0)])
def test_the_upper_bound_is_the_one_of_clopper_and_pearson(events: int, trials: int, expected: float) -> None:
    """By scipy.stats.beta.ppf(0.95, events + 1, trials - events)."""
    assert upper_bound(events, trials) == pytest.approx(expected, abs=5e-5)
