"""Check an artifact and predict, in a process that may crash.

`python -m functions.runtime.runtimes.try_load RUNTIME PATH [SHA256]`. The exit status is 0 when the artifact can be
served, and 1, with one sentence as the last line of standard error, when it cannot; a crash ends it by a signal. With
a digest, a file of other bytes is refused, so that the server loads the bytes that were tried here.
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
from functions.runtime.runtimes.formats import unreadable

_MEMORY = 4 << 30
_MEMORY_A_BYTE = 32  # a JSON document is parsed into memory before it is a model
_CPU_SECONDS = 60  # a prediction with a cycle in its trees never ends
# Each thread of a library reserves memory, and on a large machine it starts many.
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# Missing, and values on either side of almost any split.
_VALUES = (math.nan, 0.0, -1e30, 1e30)
_MANY = 128  # rows go through the trees in blocks of 64
_FEW = 8  # explanations are slow
_RANDOM_SECONDS = 0.3


def main(name: str, path: str, digest: str | None = None) -> int:
    """Check and try an artifact. Returns the exit status."""
    try:
        limit(Path(path))
        predict(load(name, Path(path), digest))
    except (TidegateError, MemoryError) as error:
        message = str(error) or f"{path} needs more memory than a model of its size should; save the model again."
        print(" ".join(message.split()), file=sys.stderr)
        return 1
    return 0


def limit(path: Path) -> None:
    """Limit the memory and CPU time of this process by the size of the file. Raises InvalidModel if unreadable."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise unreadable(path, error) from None
    wanted = {resource.RLIMIT_AS: _MEMORY + _MEMORY_A_BYTE * size, resource.RLIMIT_CPU: _CPU_SECONDS, resource.RLIMIT_CORE: 0}
    for kind, value in wanted.items():
        _, hard = resource.getrlimit(kind)
        resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))


def load(name: str, path: Path, digest: str | None) -> Model:
    """Check the structure of the file and load it. Raises InvalidModel."""
    found = runtime(name)
    if name not in BUILT_IN:
        with path.open("rb") as file:
            _compare(hashlib.file_digest(file, "sha256").hexdigest(), digest, path)
        return found.load(path)
    data = path.read_bytes()
    _compare(hashlib.sha256(data).hexdigest(), digest, path)
    built_in = cast("BuiltIn", found)
    built_in.check(path, data)
    return built_in.load(path, data)


def predict(model: Model) -> None:
    """Predict every kind: few and many rows of one value each, and then random rows while there is time."""
    width = model.signature.width
    for kind in model.signature.kinds:
        for count in (len(_VALUES), _MANY) if kind in ("value", "margin") else (len(_VALUES),):
            _predict(model, kind, (_VALUES[index % len(_VALUES)] for index in range(count) for _ in range(width)), count)
    end = time.monotonic() + _RANDOM_SECONDS
    chance = random.Random(0)  # noqa: S311 the same rows in each run
    for kind in model.signature.kinds:
        if time.monotonic() > end:
            break
        count = _FEW if kind == "contributions" else _MANY
        _predict(model, kind, (_draw(chance) for _ in range(count * width)), count)


def _predict(model: Model, kind: Kind, values: Iterator[float], rows: int) -> None:
    model.predict(array(model.signature.typecode, values), rows, kind)


def _draw(chance: random.Random) -> float:
    """A random value: missing, a code or a count, a fraction, or a number of any size."""
    kind = chance.random()
    if kind < 0.1:
        return math.nan
    if kind < 0.4:
        return float(chance.randrange(40))
    return chance.random() if kind < 0.7 else chance.gauss(0, 1) * 10.0 ** chance.randrange(-2, 6)


def _compare(found: str, digest: str | None, path: Path) -> None:
    if digest is not None and found != digest:
        raise InvalidModel(f"the artifact {path} changed while it was loaded", remedy="start again")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
