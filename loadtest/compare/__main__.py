"""`python -m loadtest.compare`: install, start, check, measure, report.

Exit status: 0 all measured bars are met, 1 some are missed or the function failed, 2 wrong use, 130 interrupted.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from common.errors import TidegateError
from loadtest.compare import comparing, report, result
from loadtest.compare.bars import LIGHTGBM, SOAK, verdicts
from loadtest.compare.scenarios import SCENARIOS
from loadtest.compare.servers import SERVERS

CACHE, RESULT = Path(".tidegate/compare"), Path("loadtest/results/compare.json")
_SOAK_REQUESTS = 2_000_000


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if options.list:
        print("\n".join(f"{name:<12} {title}" for name, title in _listed()))
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that SIGTERM stops the servers, too
    try:
        found = result.read(options.read) if options.read else _measured(options)
        print(report.text(found))
        if options.write:
            print("\nwritten: " + ", ".join(map(str, report.write(found, options.write))), file=sys.stderr)
    except TidegateError as error:
        print(f"compare: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("compare: interrupted", file=sys.stderr)
        return 130
    if found.interrupted and not options.read:
        return 130
    return 1 if any(verdict.outcome == "missed" for verdict in verdicts(found)) else 0


def _measured(options: argparse.Namespace) -> result.Comparison:
    plan = comparing.Plan(
        servers=tuple(server for server in SERVERS if server.name in options.servers),
        scenarios=tuple(scenario for scenario in SCENARIOS if scenario.name in options.only),
        lightgbm=LIGHTGBM in options.only,
        rounds=options.rounds,
        seconds=options.seconds,
        soak=options.soak or (_SOAK_REQUESTS if SOAK in options.only else None),
        cache=CACHE,
    )
    began = time.monotonic()

    def progress(line: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s  {line}", file=sys.stderr, flush=True)

    found = comparing.compare(plan, datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), progress)
    result.write(found, options.out)
    progress(f"figures: {options.out}")
    return found


def _listed() -> list[tuple[str, str]]:
    return [
        *((scenario.name, scenario.title) for scenario in SCENARIOS),
        (LIGHTGBM, "the overhead over LightGBM's own call"),
        (SOAK, f"{_SOAK_REQUESTS:,} requests to the function, with samples of its memory; only by name, or with --soak"),
    ]


def _parser() -> argparse.ArgumentParser:
    names = [name for name, _ in _listed()]
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.compare", description="Compare the model function with MLServer and KServe's server."
    )
    parser.add_argument("--rounds", type=_positive_integer, default=5, help="rounds of all scenarios (default: %(default)s)")
    parser.add_argument("--seconds", type=_positive, default=4.0, help="seconds of each measurement (default: %(default)s)")
    parser.add_argument(
        "--only", nargs="+", choices=names, default=names[:-1], metavar="SCENARIO", help="only these scenarios; --list names them"
    )
    servers = [server.name for server in SERVERS]
    parser.add_argument("--servers", nargs="+", choices=servers, default=servers, help="only these servers (default: all)")
    parser.add_argument("--soak", type=_positive_integer, metavar="N", help="run the soak as well, with N requests")
    parser.add_argument("--write", type=Path, metavar="DOCS", help="write the table and the plots to DOCS/performance/")
    parser.add_argument("--out", type=Path, default=RESULT, help="file of all figures, as JSON (default: %(default)s)")
    parser.add_argument("--read", type=Path, metavar="FILE", help="report and --write such a file without measuring")
    parser.add_argument("--list", action="store_true", help="the scenarios")
    return parser


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} must be above 0")
    return value


def _positive_integer(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} must be above 0")
    return value


if __name__ == "__main__":
    sys.exit(main())
