"""The command line of a trainer."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from common.errors import TidegateError


def run_trainer(train: Callable[[Path], str], *, module: str, description: str, models: Path) -> int:
    """Run `python -m <module> [--out FOLDER]` and return the exit status.

    `train` gets the folder of the versions, `models` by default, and returns the evaluation, which is printed. A
    TidegateError, and a folder that cannot be written, end with status 1 and one line on standard error.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    parser.add_argument("--out", type=Path, default=models, help="folder of the versions (default: %(default)s)")
    out: Path = parser.parse_args().out
    try:
        print(train(out))
    except TidegateError as error:
        return _failed(str(error))
    except OSError as error:
        return _failed(f"cannot use {error.filename or out}: {error.strerror or error}; fix that, or name another folder with --out.")
    return 0


def progress(line: str) -> None:
    """Print a line of progress to standard error, apart from the evaluation."""
    print(line, file=sys.stderr, flush=True)


def _failed(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return 1
