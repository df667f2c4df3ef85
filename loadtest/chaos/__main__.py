"""`python -m loadtest.chaos --seed 7`: a run of the stream worker under faults, and what it did wrong.

Exit status: 0 every promise was kept, 1 one was not or the run failed, 2 wrong use, 130 interrupted.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import orjson

from common.errors import TidegateError
from loadtest.chaos import report
from loadtest.chaos.installation import STREAM_WORKER, Parts
from loadtest.chaos.plan import CALM_SECONDS, Fault
from loadtest.chaos.run import Outcome, Run, run

_CLIENTS = {"kafka-python": "kafka-python", "confluent": "confluent-kafka"}
_AT_LEAST, _EXACTLY = "at-least-once", "exactly-once"
_OUT = Path("loadtest/results/chaos")


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that SIGTERM ends the processes, too
    try:
        outcomes = [_run(_wanted(options, seed), options.out) for seed in range(options.seed, options.seed + options.runs)]
    except TidegateError as error:
        print(f"chaos: {error}", file=sys.stderr)
        return 1
    except BaseExceptionGroup as group:
        found, other = group.split(TidegateError)
        if found is None or other is not None:
            raise
        print(f"chaos: {found.exceptions[0]}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("chaos: interrupted", file=sys.stderr)
        return 130
    return 1 if any(outcome.problems for outcome in outcomes) else 0


def _run(wanted: Run, out: Path) -> Outcome:
    """Do a run and write its report into a folder of its own."""
    began = time.monotonic()
    parts = wanted.parts
    delivery = _EXACTLY if parts.exactly_once else _AT_LEAST
    folder = out / f"{parts.client}-{delivery}-{wanted.seed}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)

    def note(text: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {text}", file=sys.stderr, flush=True)

    note(f"seed {wanted.seed}: {wanted.events:,} events and {wanted.faults} faults, {parts.client}, {delivery}; logs in {folder}")
    try:
        outcome = asyncio.run(run(wanted, folder, note))
    finally:
        for data in folder.glob("data-*"):
            shutil.rmtree(data, ignore_errors=True)
    (folder / "report.json").write_bytes(orjson.dumps(report.document(outcome), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    print("\n".join(report.table(outcome)), flush=True)
    return outcome


def _wanted(options: argparse.Namespace, seed: int) -> Run:
    parts = Parts(
        workers=options.workers,
        brokers=options.brokers,
        router=options.router,
        client=_CLIENTS[options.client],
        exactly_once=options.delivery == _EXACTLY,
        session_seconds=options.session,
        worker=shlex.split(options.worker) if options.worker else STREAM_WORKER,
        faults=tuple(Fault[name] for name in options.only),
    )
    return Run(
        seed=seed,
        events=options.events,
        faults=options.faults,
        keys=options.keys,
        poison=options.poison,
        parts=parts,
        calm_seconds=tuple(options.calm),
        patience_seconds=options.patience,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m loadtest.chaos", description="Disturb a stream and check what it has written.")
    parser.add_argument("--seed", type=int, default=random.randrange(10_000), help="of the events and the faults (default: a random one)")  # noqa: S311
    parser.add_argument("--runs", type=int, default=1, help="runs, of this seed and those that follow it (default: %(default)s)")
    parser.add_argument("--client", choices=list(_CLIENTS), default="kafka-python", help="the worker's (default: %(default)s)")
    parser.add_argument("--delivery", choices=[_AT_LEAST, _EXACTLY], default=_AT_LEAST, help="default: %(default)s")
    parser.add_argument("--events", type=int, default=200_000, help="default: %(default)s")
    parser.add_argument("--keys", type=int, default=5_000, help="default: %(default)s")
    parser.add_argument("--poison", type=float, default=0.001, metavar="SHARE", help="of records that end as dead letters (default: 0.001)")
    parser.add_argument("--faults", type=int, default=30, help="default: %(default)s")
    parser.add_argument("--workers", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--brokers", type=int, default=3, help="with 3, one may be away (default: %(default)s)")
    parser.add_argument("--router", action=argparse.BooleanOptionalAction, default=True, help="between the workers and the model")
    parser.add_argument("--session", type=float, default=6.0, metavar="SECONDS", help="of the workers (default: %(default)g)")
    parser.add_argument(
        "--calm", type=float, nargs=2, default=CALM_SECONDS, metavar="SECONDS", help="least and most, between faults (default: 10 14)"
    )
    parser.add_argument(
        "--patience", type=float, default=120.0, metavar="SECONDS", help="until all is finished after the last fault (default: %(default)g)"
    )
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        choices=[fault.name for fault in Fault],
        metavar="FAULT",
        help="only these kinds, such as WORKER_KILLED",
    )
    parser.add_argument("--worker", metavar="COMMAND", help="starts a worker (default: python -m functions.stream)")
    parser.add_argument("--out", type=Path, default=_OUT, help="folder of logs and reports (default: %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
