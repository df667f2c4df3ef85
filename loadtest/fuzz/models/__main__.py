"""`python -m loadtest.fuzz.models --files 10000 --seed 1`: have model functions load damaged files, and look at what becomes of them.

Exit status: 0 when each was refused, or served with the library's own answers; 1 when one ended or held a server, or was answered for
wrongly; 2 wrong use; 130 interrupted. A seed gives the same file again.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from common.errors import TidegateError
from loadtest.fuzz.models import campaign, originals

_REPORT = 200


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    outcomes: list[campaign.Outcome] = []
    if options.keep is not None:
        options.keep.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory() as folder:
            models = originals.write(Path(folder))
            seeds = range(options.seed, options.seed + options.files)
            for outcome in campaign.run(models, seeds, Path(folder), options.keep):
                outcomes.append(outcome)
                _tell(outcome, options.verbose)
                if len(outcomes) % _REPORT == 0:
                    print(campaign.summary(outcomes), flush=True)
    except TidegateError as error:
        print(f"fuzz: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("fuzz: interrupted", file=sys.stderr)
        return 130
    print(f"fuzz: seeds {options.seed} to {options.seed + options.files - 1}: {campaign.summary(outcomes)}")
    return int(any(outcome.verdict not in campaign.GOOD for outcome in outcomes))


def _tell(outcome: campaign.Outcome, verbose: bool) -> None:
    if verbose or outcome.verdict not in campaign.GOOD:
        told = f"{outcome.original}, {outcome.mutation}: {outcome.verdict} after {outcome.seconds:.2f} s"
        print(f"seed {outcome.seed}: {told} {outcome.sentence}".rstrip(), flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m loadtest.fuzz.models", description="Load damaged model files, and judge what follows.")
    parser.add_argument("--files", type=int, default=1_000, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the first one (default: %(default)s)")
    parser.add_argument("--keep", type=Path, help="a folder for the files that end badly")
    parser.add_argument("--verbose", action="store_true", help="tell of each file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
