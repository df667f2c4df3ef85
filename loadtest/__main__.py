"""`python -m loadtest burst steady`: run scenarios and write a report of each.

Exit status: 0 every request was answered, 1 some failed or the target is unreachable, 2 wrong use, 130 interrupted.
"""

from __future__ import annotations

from loadtest import runner  # isort: skip: it imports locust, which comes first

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

from common.errors import TidegateError
from loadtest import report, target
from loadtest.local_gateway import local_gateway
from loadtest.summary import Sample

# Default callers and seconds of each scenario.
DEFAULTS = {"burst": (64, 10.0), "steady": (8, 30.0)}


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that SIGTERM stops a local gateway, too
    try:
        if options.url is not None:
            target.reach(target.check(options.url, owned=options.i_own_this_target))
        with local_gateway(options.out / "gateway") if options.url is None else nullcontext(options.url.rstrip("/")) as url:
            return max(_scenario(name, url, options) for name in options.scenario)
    except TidegateError as error:
        print(f"loadtest: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("loadtest: interrupted", file=sys.stderr)
        return 130


def _scenario(name: str, url: str, options: argparse.Namespace) -> int:
    users, seconds = options.users or DEFAULTS[name][0], options.seconds or DEFAULTS[name][1]
    print(f"{name}: {users} callers for {seconds:g} s at {url} ({options.host})", file=sys.stderr)
    run = runner.run(name, url=url, host=options.host, users=users, seconds=seconds, rate=options.rate, progress=_progress)
    folder = options.out / name
    summary = report.write(run, folder)
    print(f"{name}: {report.in_one_line(summary)}\nreport: {folder / 'report.md'}")
    if run.interrupted:
        raise KeyboardInterrupt
    return 1 if summary.failures or not summary.requests else 0


def _progress(passed: float, samples: list[Sample]) -> None:
    if sys.stderr.isatty():
        failures = sum(sample.error is not None for sample in samples)
        print(f"  {passed:3.0f} s, {len(samples):,} requests, {failures:,} failed", end="\r", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m loadtest", description="Put load on a gateway and write a report.")
    parser.add_argument(
        "scenario", nargs="+", choices=sorted(runner.SCENARIOS), help="burst: all at once, from zero; steady: one call after another"
    )
    parser.add_argument("--url", help="a running gateway, such as http://127.0.0.1:8080 (default: start one, with everything at zero)")
    parser.add_argument("--host", default="flights.localhost", help="the model's host name at the gateway (default: %(default)s)")
    parser.add_argument("--users", type=_positive(int), help="concurrent callers (default: burst 64, steady 8)")
    parser.add_argument("--seconds", type=_positive(float), help="duration (default: burst 10, steady 30)")
    parser.add_argument("--rate", type=_positive(float), help="requests a second over all callers (default: that of the scenario)")
    parser.add_argument("--out", type=Path, default=Path("loadtest/results"), help="folder of the reports (default: %(default)s)")
    parser.add_argument("--i-own-this-target", action="store_true", help="allow a target that is not this machine")
    return parser


def _positive(kind: type[int] | type[float]) -> Callable[[str], float]:
    def parse(text: str) -> float:
        value = kind(text)
        if value <= 0:
            raise ValueError(text)
        return value

    parse.__name__ = f"positive {kind.__name__}"  # argparse says: invalid positive int value
    return parse


if __name__ == "__main__":
    sys.exit(main())
