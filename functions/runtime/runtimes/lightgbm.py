"""LightGBM by its C API, on the library inside the wheel; its text format only.

https://lightgbm.readthedocs.io/en/stable/C-API.html. `import lightgbm` would load numpy and scipy, and a pickled
estimator could run any code.
"""

from __future__ import annotations

import ctypes
import logging
import re
from array import array
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from functions.runtime.contract.signature import Kind, Prediction, Signature
from functions.runtime.errors import InvalidModel
from functions.runtime.runtimes._pandas import categories_of, largest_codes
from functions.runtime.runtimes.formats import damaged, line_feeds, read_bytes
from functions.runtime.runtimes.shared_library import library, to_integers

log = logging.getLogger("tidegate.lightgbm")

_POINTER = ctypes.c_void_p
_FLOAT64, _ROW_MAJOR = 1, 1
_ALL_ROUNDS = (0, -1)  # `Booster.save_model` writes the rounds up to the best one
# C_API_PREDICT_NORMAL, _RAW_SCORE, _CONTRIB and _LEAF_INDEX.
_TYPES: Mapping[Kind, int] = {"value": 0, "margin": 1, "contributions": 3, "leaf": 2}
_PARAMETERS = ctypes.c_char_p(b"num_threads=1 verbosity=-1")
_PROBABILITIES = ("binary", "multiclass", "multiclassova")
_CATEGORICAL = re.compile(rb"^\[categorical_feature: ([\d,]+)\]$", re.MULTILINE)


def load(path: Path, data: bytes | None = None) -> LightGBMModel:
    """Load a model from its bytes, or else from the file. Raises InvalidModel."""
    _library()  # first: the error of a missing library is the more useful one
    return LightGBMModel(path, _text(path, read_bytes(path) if data is None else data))


def check(path: Path, data: bytes) -> None:
    """Check the structure of the file, since the library follows any index.

    Raises InvalidModel when it contradicts itself.
    """
    from functions.runtime.runtimes.structure import lightgbm as structure  # not needed for a file with a digest
    from functions.runtime.runtimes.structure.fault import Fault

    text = _text(path, data)
    try:
        structure.check(text)
    except Fault as fault:
        raise damaged(path, f"{fault}") from None


class LightGBMModel:
    """A booster. Several threads may call it at once; each call takes one core.

    Predictions equal those of `Booster(model_file=path).predict` to the bit.
    """

    def __init__(self, path: Path, text: bytes) -> None:
        self._booster = _POINTER()  # set first, since `__del__` frees it
        self._path = path
        self._library = _library()
        self._library.LGBM_RegisterLogCallback(_LOG_CALLBACK)  # for this thread only
        try:
            self._call("LGBM_BoosterLoadModelFromString", text, ctypes.byref(ctypes.c_int()), ctypes.byref(self._booster))
            self.signature = self._signature(text)
        except (LightGBMError, ValueError, KeyError, IndexError, TypeError) as error:
            raise _invalid(path, error.reason if isinstance(error, LightGBMError) else "it is damaged") from None
        self._sizes = {kind: self._size(kind) for kind in self.signature.kinds}

    def predict(self, values: array[float], rows: int, kind: Kind = "value") -> Prediction:
        width = self.signature.width
        if len(values) != rows * width:  # the library would read beyond the array
            raise ValueError(f"{rows} rows of {width} features have {rows * width} values, not {len(values)}.")
        answer = array("d", bytes(8 * rows * self._sizes[kind]))
        self._call(
            "LGBM_BoosterPredictForMat",
            self._booster,
            _POINTER(values.buffer_info()[0]),
            _FLOAT64,
            rows,
            width,
            _ROW_MAJOR,
            _TYPES[kind],
            *_ALL_ROUNDS,
            _PARAMETERS,
            ctypes.byref(ctypes.c_int64()),
            _POINTER(answer.buffer_info()[0]),
        )
        return Prediction(to_integers(answer) if kind == "leaf" else answer, self.signature.kinds[kind])

    def _signature(self, text: bytes) -> Signature:
        header = _header(text)
        width, groups = int(header["max_feature_idx"]) + 1, self._size("value")
        objective = header.get("objective", "custom").split(" ")[0]
        probability = objective in _PROBABILITIES
        of_group: tuple[int, ...] = (groups,) if groups > 1 else ()
        kinds: dict[Kind, tuple[int, ...]] = {"value": of_group, "margin": of_group}
        if b"\nis_linear=1" not in text:  # the library has no contributions of trees with linear leaves
            kinds["contributions"] = (*of_group, width + 1)
        kinds["leaf"] = (self._size("leaf"),)
        names = tuple(header["feature_names"].split(" "))
        if names == tuple(f"Column_{index}" for index in range(width)):
            names = ()  # the names that LightGBM gives to the columns of an array
        called = names or tuple(f"f{index}" for index in range(width))
        infos = header["feature_infos"].split(" ")
        categorical = _categorical(text, infos)
        return Signature(
            width,
            names,
            {called[column]: known for column, known in categories_of(text, infos, categorical).items()},
            objective,
            "probability" if probability else "value",
            groups if probability else 0,
            kinds,
            "d",
            largest_codes={called[column]: code for column, code in largest_codes(infos, categorical).items()},
        )

    def _size(self, kind: Kind) -> int:
        """The number of values of a prediction for one row."""
        found = ctypes.c_int64()
        self._call("LGBM_BoosterCalcNumPredict", self._booster, 1, _TYPES[kind], *_ALL_ROUNDS, ctypes.byref(found))
        return found.value

    def _call(self, function: str, *arguments: object) -> None:
        if getattr(self._library, function)(*arguments) != 0:
            reason = (self._library.LGBM_GetLastError() or b"").decode(errors="replace").partition("\n")[0]
            raise LightGBMError(self._path, reason.replace(str(self._path), "the file").strip(" :."))

    def __del__(self) -> None:
        if self._booster.value:
            self._library.LGBM_BoosterFree(self._booster)


class LightGBMError(InvalidModel):
    """A call of the C API failed; `reason` is the library's."""

    def __init__(self, path: Path, reason: str, *, remedy: str = "save the model again") -> None:
        super().__init__(f"LightGBM cannot predict with {path}: {reason}", remedy=remedy)
        self.reason = reason


def _text(path: Path, data: bytes) -> bytes:
    text = line_feeds(data)
    if not text.startswith(b"tree\n"):
        raise _invalid(path, "its first line is another")
    return text


def _invalid(path: Path, reason: str) -> InvalidModel:
    return InvalidModel(f"{path} is not a LightGBM model in its text format: {reason}", remedy="save it by Booster.save_model")


def _header(text: bytes) -> dict[str, str]:
    """The fields before the first tree."""
    lines = text[: text.index(b"\n\n")].decode().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def _categorical(text: bytes, infos: list[str]) -> set[int]:
    """The columns that the model takes as codes."""
    listed = _CATEGORICAL.search(text, text.rfind(b"\nend of trees") + 1)  # the trees are long, and the pattern slow
    columns = set(map(int, listed[1].split(b","))) if listed else set()
    return columns | {index for index, info in enumerate(infos) if ":" in info and not info.startswith("[")}


def _log_line(line: bytes) -> None:
    """Log a line that the library would write to standard output."""
    log.debug("%s", line.decode(errors="replace").rstrip())


_LOG_CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_char_p)(_log_line)  # referenced here, since the library keeps only its address


@cache
def _library() -> ctypes.CDLL:
    found = library("lightgbm", 'pip install "tidegate[lightgbm]"')
    found.LGBM_GetLastError.restype = ctypes.c_char_p
    return found
