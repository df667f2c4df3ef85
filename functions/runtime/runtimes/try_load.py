"""`python -m functions.runtime.runtimes.try_load RUNTIME PATH [SHA256]`: check an artifact and predict, in a process that may die of it.

It ends with 0 when the artifact can be served, with 1 and one sentence as the last line of standard error when it cannot, or by a signal.
With a digest, it refuses a file of other bytes: what the server loads afterwards are those that were tried here.
"""

from __future__ import annotations

import hashlib
import math
import os
import random
import resource
import sys
import time
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from common.errors import TidegateError
from functions.runtime.contract.signature import Kind
from functions.runtime.errors import InvalidModel
from functions.runtime.runtimes import BUILT_IN, BuiltIn, Model, runtime

_MEMORY = 4 << 30
_MEMORY_A_BYTE = 32  # a document in JSON is taken apart in memory before it is a model
_CPU_SECONDS = 60  # trees that lead in a circle never end
# Each thread that a library starts reserves memory, and on a large machine it starts many.
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# Missing, and what falls to either side of almost any split.
_VALUES = (math.nan, 0.0, -1e30, 1e30)
_MANY = 128  # rows go through the trees in blocks of 64
_FEW = 8  # explanations are slow
_RANDOM_SECONDS = 0.3


def main(name: str, path: str, digest: str | None = None) -> int:
    """Returns the exit status."""
    try:
        limit(Path(path))
        predict(load(name, Path(path), digest))
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


def load(name: str, path: Path, digest: str | None) -> Model:
    """The model of a file that does not contradict itself. Raises InvalidModel."""
    found = runtime(name)
    if name not in BUILT_IN:
        with path.open("rb") as file:
            _compare(hashlib.file_digest(file, "sha256").hexdigest(), digest, path)
        return found.load(path)
    data = path.read_bytes()
    _compare(hashlib.sha256(data).hexdigest(), digest, path)
    ours = cast("BuiltIn", found)
    ours.check(path, data)
    return ours.load(path, data)


def predict(model: Model) -> None:
    """Ask for all that the model has: rows of one value, of few rows and of many, and then at random while there is time."""
    width = model.signature.width
    for kind in model.signature.kinds:
        for count in (len(_VALUES), _MANY) if kind in ("value", "margin") else (len(_VALUES),):
            _ask(model, kind, (_VALUES[index % len(_VALUES)] for index in range(count) for _ in range(width)), count)
    end = time.monotonic() + _RANDOM_SECONDS
    chance = random.Random(0)  # noqa: S311 the same rows each time
    for kind in model.signature.kinds:
        if time.monotonic() > end:
            break
        count = _FEW if kind == "contributions" else _MANY
        _ask(model, kind, (_draw(chance) for _ in range(count * width)), count)


def _ask(model: Model, kind: Kind, values: Iterator[float], rows: int) -> None:
    model.predict(array(model.signature.typecode, values), rows, kind)


def _draw(chance: random.Random) -> float:
    """Missing, a category's code or a count, a share, or a number of any size."""
    kind = chance.random()
    if kind < 0.1:
        return math.nan
    if kind < 0.4:
        return float(chance.randrange(40))
    return chance.random() if kind < 0.7 else chance.gauss(0, 1) * 10.0 ** chance.randrange(-2, 6)


def _compare(found: str, digest: str | None, path: Path) -> None:
    if digest is not None and found != digest:
        raise InvalidModel(f"the artifact {path} has changed while it was loaded; start again.")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
