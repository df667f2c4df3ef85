"""Predictions of a model as arrays, compared to the bit; the signature has the precision of its runtime."""

from __future__ import annotations

import threading
from array import array
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from functions.runtime.contract.signature import Kind
from functions.runtime.runtimes import Model

_THREADS = 4


def rows(model: Model, features: np.ndarray) -> array[float]:
    """The features as the model takes them."""
    code = model.signature.typecode
    return array(code, np.ascontiguousarray(features, dtype=np.dtype(code)).tobytes())


def predict(model: Model, features: np.ndarray, kind: Kind = "value") -> np.ndarray:
    values, shape = model.predict(rows(model, features), len(features), kind)
    assert shape == model.signature.kinds[kind]
    return np.array(values, dtype=np.dtype(model.signature.typecode)).reshape(len(features), *shape)


def same_to_the_bit(found: np.ndarray, wanted: Any) -> bool:
    return found.size == wanted.size and found.tobytes() == np.ascontiguousarray(wanted, dtype=found.dtype).tobytes()


def assert_threads_agree(shared: Model, alone: Model, features: np.ndarray) -> None:
    """Predict with `shared` in several threads at once, and compare with `alone`, a second copy of the same model."""
    parts = [features[start : start + count] for start, count in ((0, 1), (1, 40), (41, 7), (48, 300))]
    wanted = {(index, kind): predict(alone, part, kind) for index, part in enumerate(parts) for kind in alone.signature.kinds}
    together = threading.Barrier(_THREADS)

    def differences(number: int) -> list[tuple[int, Kind]]:
        """Return the differing predictions of one thread, which has its own order of rows and kinds."""
        together.wait(10)
        order = list(wanted)[number:] + list(wanted)[:number]
        return [key for key in order * 25 if not same_to_the_bit(predict(shared, parts[key[0]], key[1]), wanted[key])]

    with ThreadPoolExecutor(_THREADS) as pool:
        assert list(pool.map(differences, range(_THREADS))) == [[]] * _THREADS
