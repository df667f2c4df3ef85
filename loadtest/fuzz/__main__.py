"""`python -m loadtest.fuzz --seconds 60 --port 8080`: send almost right requests to a model function until one is answered wrongly.

Exit status: 0 nothing was found, 1 something was, or nothing answers there, 2 wrong use, 130 interrupted. The report names a seed, which
gives the same requests again.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from eventing.errors import TidegateError
from loadtest.fuzz import campaign
from loadtest.fuzz.model import discover, is_alive

# Of one seed: some seconds.
_EXAMPLES = 500


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        models = discover(options.port)
        end = time.monotonic() + options.seconds
        number = options.seed
        while time.monotonic() < end:
            campaign.run(options.port, models, number=number, examples=_EXAMPLES)
            is_alive(options.port)
            number += 1
    except campaign.Found as error:
        print("\n".join([f"fuzz: seed {number}: {error}", *getattr(error, "__notes__", [])]), file=sys.stderr)
        return 1
    except (TidegateError, OSError) as error:
        print(f"fuzz: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("fuzz: interrupted", file=sys.stderr)
        return 130
    print(f"fuzz: nothing was found with the seeds {options.seed} to {number - 1}, {2 * _EXAMPLES:,} requests each")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m loadtest.fuzz", description="Send almost right requests, and judge the answers.")
    parser.add_argument("--port", type=int, default=8080, help="of a model function on this machine (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long, at least one seed (default: %(default)g)")
    parser.add_argument("--seed", type=int, default=1, help="the first one (default: %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
