"""`python -m functions.runtime.models.try_load RUNTIME PATH`: load an artifact and predict once, in a process that may die of it."""

from __future__ import annotations

import math
import sys
from array import array
from pathlib import Path

from eventing.errors import TidegateError
from functions.runtime.models import runtime


def main(name: str, path: str) -> int:
    """Returns the exit status. That an artifact is no model at all is said by whoever loads it next."""
    try:
        model = runtime(name).load(Path(path), threads=1)
    except TidegateError:
        return 1
    model.predict(array("f", [math.nan] * model.signature.width), 1)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
