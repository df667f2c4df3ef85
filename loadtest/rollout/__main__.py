"""`python -m loadtest.rollout`: simulate rollouts, and print how often and how soon they are rolled back.

With 10,000 runs it takes about ten minutes of two cores. The figures of docs/rollout.md are its output.
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

from loadtest.rollout import scenarios, usual
from loadtest.rollout.intervals import upper_bound
from loadtest.rollout.simulation import ERRORS_ONLY, Look, Scenario, detected, drift, harm, highest, safety
from loadtest.summary import quantile

SEED = 20_261_127
_BOUNDS = (0.01, 0.05)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m loadtest.rollout", description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000, help="rollouts of each scenario (default: %(default)s)")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="processes (default: %(default)s)")
    options = parser.parse_args(arguments)
    with get_context("spawn").Pool(options.processes) as pool:
        _false_alarms(pool, options.runs)
        _detection(pool, max(options.runs // 10, 1))
    _usual_rule(options.runs)
    return 0


def _false_alarms(pool: Pool, runs: int) -> None:
    print(f"Alarms of {runs:,} rollouts in which the canary is as good as the stable revision; in brackets, the upper bound at 95%.\n")
    print("| rollout | alarms at alpha 1% | at alpha 5% |\n|---|---|---|")
    cases: list[tuple[Scenario, Look]] = [(scenario, harm) for scenario in (*scenarios.EQUAL_ARMS, scenarios.BETTER)]
    cases += [(scenarios.DRIFT, drift), (scenarios.PROMOTION, safety), (scenarios.AS_IF_INDEPENDENT, harm)]
    for number, (scenario, look) in enumerate(cases):
        seeds = [(SEED, number, run) for run in range(runs)]
        highests = pool.map(partial(highest, scenario, look=look), seeds, chunksize=20)
        print(f"| {scenario.name} | {' | '.join(_rate(highests, bound) for bound in _BOUNDS)} |", flush=True)


def _rate(highests: Sequence[float], bound: float) -> str:
    alarms = sum(value >= 1 / bound for value in highests)
    return f"{alarms / len(highests):.2%} ({upper_bound(alarms, len(highests)):.2%})"


def _detection(pool: Pool, runs: int) -> None:
    print(f"\nRequests until a roll-back at alpha 1%, of {runs:,} rollouts with 20% of the keys; the stable revision has 1% of errors.\n")
    print("| errors of the canary | policy | median | 90% of rollouts | never |\n|---|---|---|---|---|")
    policies = (("errors only", ERRORS_ONLY), ("default", scenarios.DEFAULT_POLICY))
    for number, scenario in enumerate(scenarios.DETECTION):
        for name, policy in policies:
            found = scenarios.with_policy(scenario, policy)
            requests = sorted(pool.map(partial(detected, found), [(SEED, 100 + number, run) for run in range(runs)], chunksize=5))
            median, most = (f"{quantile(requests, share):,.0f}" for share in (0.5, 0.9))
            print(f"| {scenario.name} | {name} | {median} | {most} | {_never(requests)} |", flush=True)


def _never(requests: Sequence[float]) -> str:
    return f"{sum(value == float('inf') for value in requests) / len(requests):.1%}"


def _usual_rule(runs: int) -> None:
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


if __name__ == "__main__":
    sys.exit(main())
