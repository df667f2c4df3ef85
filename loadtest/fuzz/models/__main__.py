"""`python -m loadtest.fuzz.models --files 10000 --seed 1`: load damaged files into model functions.

Exit status: 0 when each was refused, or served with the library's own predictions; 1 when one ended or blocked a
server, or gave other predictions; 2 wrong use; 130 interrupted. A seed reproduces its file.
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
                _report(outcome, options.verbose)
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


def _report(outcome: campaign.Outcome, verbose: bool) -> None:
    if verbose or outcome.verdict not in campaign.GOOD:
        shown = f"{outcome.original}, {outcome.mutation}: {outcome.verdict} after {outcome.seconds:.2f} s"
        print(f"seed {outcome.seed}: {shown} {outcome.sentence}".rstrip(), flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m loadtest.fuzz.models", description="Load damaged model files and check the outcome.")
    parser.add_argument("--files", type=int, default=1_000, help="number of files (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="first seed (default: %(default)s)")
    parser.add_argument("--keep", type=Path, help="folder for the files that cause a fault")
    parser.add_argument("--verbose", action="store_true", help="print each file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
