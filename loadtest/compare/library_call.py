"""`python -m loadtest.compare.library_call ARTIFACT`: the time of a call of LightGBM in ms, without a server.

It is the median of the C API's call for one row, by one thread. Booster.predict of the Python package takes longer and
would hide a part of the server's overhead.
"""

from __future__ import annotations

import ctypes
import random
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from statistics import median

from loadtest.compare.model import FEATURES

_CALLS, _WARMUP = 20_000, 1_000
_FLOAT64, _ROW_MAJOR, _NORMAL, _ALL = 1, 1, 0, -1


def median_ms(artifact: Path) -> float:
    found = find_spec("lightgbm")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("lightgbm")
    library = ctypes.CDLL(str(next(Path(found.submodule_search_locations[0]).rglob("lib_lightgbm.*"))))
    handle, iterations, length, out = ctypes.c_void_p(), ctypes.c_int(), ctypes.c_int64(), ctypes.c_double()
    if library.LGBM_BoosterCreateFromModelfile(str(artifact).encode(), ctypes.byref(iterations), ctypes.byref(handle)):
        raise OSError(f"LightGBM cannot load {artifact}")
    seeded = random.Random(1)  # noqa: S311
    rows = [(ctypes.c_double * FEATURES)(*(seeded.gauss(0, 1) for _ in range(FEATURES))) for _ in range(64)]
    rest = (_FLOAT64, FEATURES, _ROW_MAJOR, _NORMAL, 0, _ALL, b"num_threads=1", ctypes.byref(length), ctypes.byref(out))
    times = []
    for number in range(_CALLS):
        began = time.perf_counter()
        library.LGBM_BoosterPredictForMatSingleRow(handle, rows[number % len(rows)], *rest)
        times.append(time.perf_counter() - began)
    return 1e3 * median(times[_WARMUP:])


if __name__ == "__main__":
    print(median_ms(Path(sys.argv[1])))
