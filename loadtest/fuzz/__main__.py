"""`python -m loadtest.fuzz --requests 100000 --port 8080`: send almost valid requests until one is answered wrongly.

Exit status: 0 no fault, 1 a fault or no answer at the port, 2 wrong use, 130 interrupted. The report names a seed,
which reproduces the requests.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Sequence

from common.errors import TidegateError
from loadtest.fuzz import campaign, memory
from loadtest.fuzz.model import discover, is_alive
from loadtest.fuzz.wire import Target

# Examples of one seed: some seconds.
_EXAMPLES = 500
_REPORT_SECONDS = 60.0


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    target = Target(options.port, options.host)
    number, sent = options.seed, 0
    try:
        models = discover(target)
        end = time.monotonic() + (options.seconds or (math.inf if options.requests else 60.0))
        report, before = time.monotonic() + _REPORT_SECONDS, dict[int, float]()
        while time.monotonic() < end and (not options.requests or sent < options.requests):
            sent += campaign.run(target, models, number=number, examples=_EXAMPLES, damages=options.damages)
            is_alive(target)
            number += 1
            # The first seed warms up caches.
            before = before or memory.resident(options.pid)
            if time.monotonic() >= report:
                report += _REPORT_SECONDS
                print(f"fuzz: {sent:,} requests, seed {number}", file=sys.stderr, flush=True)
        growth = {pid: now - before[pid] for pid, now in memory.resident(options.pid).items()} if before else {}
    except campaign.WrongAnswer as error:
        print("\n".join([f"fuzz: seed {number}: {error}", *getattr(error, "__notes__", [])]), file=sys.stderr)
        return 1
    except (TidegateError, OSError) as error:
        print(f"fuzz: seed {number}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"fuzz: interrupted after {sent:,} requests", file=sys.stderr)
        return 130
    for pid, grown in growth.items():
        print(f"fuzz: process {pid} has grown by {grown:.1f} MiB since the first seed; at most {options.growth:g} are allowed")
    if any(grown > options.growth for grown in growth.values()):
        return 1
    print(f"fuzz: no fault in {sent:,} requests, seeds {options.seed} to {number - 1}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m loadtest.fuzz", description="Send almost valid requests and check the responses.")
    parser.add_argument(
        "--port", type=int, default=8080, help="port of a model function, a router or a gateway on this machine (default: %(default)s)"
    )
    parser.add_argument("--host", default="", help="host of the service behind a gateway, such as flights.localhost")
    parser.add_argument("--seconds", type=float, help="duration, at least one seed (default: 60, without --requests)")
    parser.add_argument("--requests", type=int, help="number of requests, at least one seed")
    parser.add_argument("--damages", type=int, default=0, help="randomly changed copies of each run of bytes (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="first seed (default: %(default)s)")
    parser.add_argument("--pid", type=int, action="append", default=[], help="a process that must live and not grow; may be repeated")
    parser.add_argument("--growth", type=float, default=50.0, help="MiB that each may grow by (default: %(default)g)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
