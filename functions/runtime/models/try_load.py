"""`python -m functions.runtime.models.try_load RUNTIME PATH`: load an artifact and predict, in a process that may die of it.

It ends with 0 when the artifact can be served, with 1 and one sentence as the last line of standard error when it cannot, or by a signal.
"""

from __future__ import annotations

import math
import os
import resource
import sys
from array import array
from pathlib import Path

from eventing.errors import TidegateError
from functions.runtime.errors import InvalidModel
from functions.runtime.models import Model, runtime

_MEMORY = 4 << 30
_MEMORY_A_BYTE = 32  # a document in JSON is taken apart in memory before it is a model
_CPU_SECONDS = 60  # trees that lead in a circle never end
# Each thread that a library starts reserves memory, and on a large machine it starts many.
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# Missing, and what falls to either side of almost any split.
_VALUES = (math.nan, 0.0, -1e30, 1e30)
_MANY = 128  # rows go through the trees in blocks of 64


def main(name: str, path: str) -> int:
    """Returns the exit status."""
    try:
        limit(Path(path))
        predict(runtime(name).load(Path(path)))
    except (TidegateError, MemoryError) as error:
        message = str(error) or f"{path} asks for more memory than a model of its size needs; save the model again."
        print(" ".join(message.split()), file=sys.stderr)
        return 1
    return 0


def limit(path: Path) -> None:
    """Bound what this process can take. Raises InvalidModel when there is no such file."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise InvalidModel(f"cannot read the model artifact {path}: {error.strerror}; train the model, or mend artifact.uri.") from None
    wanted = {resource.RLIMIT_AS: _MEMORY + _MEMORY_A_BYTE * size, resource.RLIMIT_CPU: _CPU_SECONDS, resource.RLIMIT_CORE: 0}
    for kind, value in wanted.items():
        _, hard = resource.getrlimit(kind)
        resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))


def predict(model: Model) -> None:
    """Ask for all that the model has, of few rows and of many; explanations are slow, so of few only."""
    for kind in model.signature.kinds:
        for count in (len(_VALUES), _MANY) if kind in ("value", "margin") else (len(_VALUES),):
            rows = (_VALUES[index % len(_VALUES)] for index in range(count))
            model.predict(array(model.signature.typecode, (value for value in rows for _ in range(model.signature.width))), count, kind)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
