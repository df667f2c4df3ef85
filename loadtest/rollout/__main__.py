"""`python -m loadtest.rollout`: simulate rollouts, and print how often and how soon they are rolled back.

With 10,000 runs it takes about a quarter of an hour of two cores. The figures of docs/rollout.md are its output.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from functools import partial
from multiprocessing import get_context
from multiprocessing.pool import Pool

import numpy as np

from functions.rollout.policy import Policy
from loadtest.rollout import scenarios, usual
from loadtest.rollout.intervals import upper_bound
from loadtest.rollout.simulation import (
    CORRECTNESS_ONLY,
    ERRORS_ONLY,
    Detection,
    Look,
    Scenario,
    better,
    detected,
    drift,
    harm,
    highest,
    safety,
)
from loadtest.summary import quantile

SEED = 20_261_127
_BOUNDS = (0.01, 0.05)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m loadtest.rollout", description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000, help="rollouts of each scenario (default: %(default)s)")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="processes (default: %(default)s)")
    parser.add_argument("--tables", nargs="+", choices=_TABLES, default=list(_TABLES), help="tables to print (default: all)")
    options = parser.parse_args(arguments)
    with get_context("spawn").Pool(options.processes) as pool:
        for name in options.tables:
            _TABLES[name](pool, options.runs)
    return 0


def _health(pool: Pool, runs: int) -> None:
    cases: list[tuple[Scenario, Look]] = [(scenario, harm) for scenario in (*scenarios.EQUAL_ARMS, scenarios.BETTER)]
    cases += [(scenarios.DRIFT, drift), (scenarios.PROMOTION, safety), (scenarios.AS_IF_INDEPENDENT, harm)]
    _false_alarms(pool, runs, "is as good as the stable revision", cases, first=0)


def _correctness(pool: Pool, runs: int) -> None:
    cases: list[tuple[Scenario, Look]] = [(scenario, harm) for scenario in scenarios.EQUAL_LOSSES]
    cases += [(scenarios.EQUALLY_CORRECT, better)]
    _false_alarms(pool, runs, "is as correct as the stable revision", cases, first=20)


def _false_alarms(pool: Pool, runs: int, what: str, cases: Sequence[tuple[Scenario, Look]], *, first: int) -> None:
    """Print the alarms of each case. Seeds have its number, which for the first one is `first`."""
    print(f"\nAlarms of {runs:,} rollouts in which the canary {what}; in brackets, the upper bound at 95%.\n")
    print("| rollout | alarms at alpha 1% | at alpha 5% |\n|---|---|---|")
    for number, (scenario, look) in enumerate(cases, first):
        seeds = [(SEED, number, run) for run in range(runs)]
        highests = pool.map(partial(highest, scenario, look=look), seeds, chunksize=20)
        print(f"| {scenario.name} | {' | '.join(_rate(highests, bound) for bound in _BOUNDS)} |", flush=True)


def _rate(highests: Sequence[float], bound: float) -> str:
    alarms = sum(value >= 1 / bound for value in highests)
    return f"{alarms / len(highests):.2%} ({upper_bound(alarms, len(highests)):.2%})"


def _detection(pool: Pool, runs: int) -> None:
    runs = max(runs // 10, 1)
    print(f"\nRequests until a roll-back at alpha 1%, of {runs:,} rollouts with 20% of the keys; the stable revision has 1% of errors.\n")
    print("| errors of the canary | policy | median | 90% of rollouts | never |\n|---|---|---|---|---|")
    policies = (("errors only", ERRORS_ONLY), ("default", scenarios.DEFAULT_POLICY))
    for number, scenario in enumerate(scenarios.DETECTION):
        for name, policy in policies:
            requests = [one.requests for one in _detected(pool, scenario, policy, 100 + number, runs)]
            print(f"| {scenario.name} | {name} | {_quantiles(requests)} | {_never(requests)} |", flush=True)


def _wrong(pool: Pool, runs: int) -> None:
    runs = max(runs // 20, 1)
    print(f"\nUntil a roll-back at alpha 1%, of {runs:,} rollouts with 20% of the keys and a canary that is healthy but wrong.\n")
    print("| the canary's scores | policy | labelled keys: median | 90% | requests: median | 90% | never |\n|---|---|---|---|---|---|---|")
    policies = (("correctness only", CORRECTNESS_ONLY), ("default", scenarios.DEFAULT_POLICY))
    for number, scenario in enumerate(scenarios.WRONG):
        for name, policy in policies:
            found = _detected(pool, scenario, policy, 200 + number, runs)
            requests = [one.requests for one in found]
            labelled = _quantiles([one.labelled for one in found])
            print(f"| {scenario.name} | {name} | {labelled} | {_quantiles(requests)} | {_never(requests)} |", flush=True)


def _detected(pool: Pool, scenario: Scenario, policy: Policy, number: int, runs: int) -> list[Detection]:
    found = scenarios.with_policy(scenario, policy)
    return pool.map(partial(detected, found), [(SEED, number, run) for run in range(runs)], chunksize=5)


def _quantiles(values: Sequence[float]) -> str:
    """The median and the quantile of 90%, as two cells."""
    ordered = sorted(values)
    return " | ".join(f"{quantile(ordered, share):,.0f}" for share in (0.5, 0.9))


def _never(requests: Sequence[float]) -> str:
    return f"{sum(value == float('inf') for value in requests) / len(requests):.1%}"


def _usual_rule(_: Pool, runs: int) -> None:
    print(
        f"\nThe usual rule, {runs:,} rollouts: 50 requests of the canary in each minute, limit 1%, {usual.FAILED_CHECKS} failed checks.\n"
    )
    print("| errors of the canary | checks | rolled back, by failed checks in all | in a row |\n|---|---|---|---|")
    random = np.random.default_rng(SEED)
    for rate in (0.001, 0.005, 0.01, 0.02):
        for checks in (10, 20, 30, 60):
            shares = [
                usual.share_rolled_back(runs=runs, checks=checks, requests=50, rate=rate, limit=0.01, in_a_row=in_a_row, random=random)
                for in_a_row in (False, True)
            ]
            print(f"| {rate:.1%} | {checks} | {' | '.join(f'{share:.1%}' for share in shares)} |")


_TABLES = {"health": _health, "correctness": _correctness, "detection": _detection, "wrong": _wrong, "usual": _usual_rule}


if __name__ == "__main__":
    sys.exit(main())
