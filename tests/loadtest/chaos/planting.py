"""Show that a run finds planted bugs: `python -m tests.loadtest.chaos.planting`, each within three seeds.

Exit status: 0 every bug was found, and nothing without one; 1 otherwise.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from loadtest.chaos.installation import STREAM_WORKER, Parts
from loadtest.chaos.plan import Fault
from loadtest.chaos.run import Outcome, Run, run
from tests.loadtest.chaos.planted import BUGS, Bug

SEEDS = (1, 2, 3)
_EVENTS, _FAULTS = 6_000, 5


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.loadtest.chaos.planting", description=__doc__)
    parser.add_argument("bugs", nargs="*", default=list(BUGS), metavar="BUG", help=f"of: {', '.join(BUGS)} (default: all)")
    parser.add_argument("--out", type=Path, default=Path("loadtest/results/chaos-planted"), help="folder of logs (default: %(default)s)")
    options = parser.parse_args(arguments)
    missed = 0
    print("| bug | found by seed | as | right workers in the same run |")
    print("|---|---|---|---|", flush=True)
    for name in options.bugs:
        found = False
        for seed in SEEDS:
            outcome = _run(seed, BUGS[name], (sys.executable, "-m", "tests.loadtest.chaos.planted", name), options.out)
            if outcome.verdict.faults:
                found = True
                break
        control = _run(seed, BUGS[name], STREAM_WORKER, options.out) if found else None
        missed += control is None or bool(control.verdict.faults)
        print(f"| {name} | {seed if found else 'none'} | {_faults(outcome)} | {_faults(control) if control else '-'} |", flush=True)
    return 1 if missed else 0


def _run(seed: int, bug: Bug, worker: Sequence[str], out: Path) -> Outcome:
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    parts = Parts(
        workers=2,
        brokers=1,
        router=False,
        exactly_once=bug.exactly_once,
        session_seconds=3.0,
        worker=worker,
        faults=tuple(Fault[name] for name in bug.faults),
    )
    began = time.monotonic()
    wanted = Run(
        seed=seed, events=_EVENTS, faults=_FAULTS, keys=50, poison=0.05, parts=parts, calm_seconds=(1.0, 3.0), patience_seconds=20.0
    )
    return asyncio.run(run(wanted, out, lambda text: print(f"{time.monotonic() - began:6.1f} s  {text}", file=sys.stderr, flush=True)))


def _faults(outcome: Outcome) -> str:
    return ", ".join(f"{count:,} {fault}" for fault, count in outcome.verdict.faults.most_common()) or "nothing"


if __name__ == "__main__":
    sys.exit(main())
