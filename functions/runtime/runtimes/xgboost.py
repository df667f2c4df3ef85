"""XGBoost by its C API (https://xgboost.readthedocs.io/en/stable/c.html), on the library inside the wheel.

`import xgboost` imports numpy and scipy: a second of every cold start, and half the time of a small prediction.
"""

from __future__ import annotations

import ctypes
import re
import threading
from array import array
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any

import orjson

from functions.runtime.contract.categories import Category
from functions.runtime.contract.signature import Kind, Meaning, Prediction, Signature
from functions.runtime.errors import InvalidModel
from functions.runtime.runtimes.formats import damaged, read_bytes
from functions.runtime.runtimes.shared_library import library, to_integers

_POINTER = ctypes.c_void_p
_SIZE = ctypes.c_uint64
_PLACE = re.compile(r"^\[[\d:]+\] \S+:\d+:")
_MEANINGS: Mapping[str, Meaning] = {
    "binary:logistic": "probability",
    "multi:softprob": "probability",
    "binary:hinge": "label",
    "multi:softmax": "label",
    "binary:logitraw": "margin",
}
# The `type` of XGBoosterPredictFromDMatrix.
_TYPES: Mapping[Kind, int] = {"value": 0, "margin": 1, "contributions": 2, "leaf": 6}
_TYPECODES = {"<i1": "b", "<i2": "h", "<i4": "i", "<i8": "q", "<u1": "B", "<u2": "H", "<u4": "I", "<u8": "Q", "|i1": "b", "|u1": "B"}
_CONVERSION = b'{"missing":NaN,"nthread":1}'
_LEAST = 2  # bytes of an empty object
_LARGEST = 3.4028234663852886e38  # of float32


def load(path: Path, data: bytes | None = None) -> XGBoostModel:
    """Load a model from its bytes, or else from the file. Raises InvalidModel."""
    _library()  # first: the error of a missing library is the more useful one
    return XGBoostModel(path, read_bytes(path) if data is None else data)


def check(path: Path, data: bytes) -> None:
    """Check the structure of the file, since the library follows any index.

    Raises InvalidModel when it contradicts itself.
    """
    from functions.runtime.runtimes.structure import xgboost as structure  # not needed for a file with a digest
    from functions.runtime.runtimes.structure.fault import Fault

    if not data.lstrip().startswith(b"{"):
        raise _invalid(path, "it does not begin with an object")
    try:
        structure.check(data, _version)
    except Fault as fault:
        raise damaged(path, f"{fault}") from None


def _version() -> tuple[int, int]:
    """The major and minor version of the library."""
    major, minor = ctypes.c_int(), ctypes.c_int()
    _library().XGBoostVersion(ctypes.byref(major), ctypes.byref(minor), ctypes.byref(ctypes.c_int()))
    return major.value, minor.value


def _invalid(path: Path, reason: str) -> InvalidModel:
    return InvalidModel(f"{path} is not an XGBoost model in JSON or UBJ: {reason}", remedy="save it by Booster.save_model")


class XGBoostModel:
    """A booster.

    Several threads may call it at once ("Thread Safety" of XGBoost's "Prediction"); each call takes one core.

    Predictions equal those of the package to the bit: `Booster.inplace_predict` for values and margins,
    `Booster.predict` for the rest, with the trees up to `best_iteration` as its scikit-learn estimators do.
    """

    def __init__(self, path: Path, data: bytes) -> None:
        self._booster = _POINTER()  # set first, since `__del__` frees it
        self._path = path
        self._library = _library()
        self._local = threading.local()
        try:
            self._load(data)
            learner = self._learner()
            rounds = self._rounds()
            self.signature = self._signature(learner, rounds)
        except (XGBoostError, ValueError, KeyError, TypeError) as error:
            reason = error.reason if isinstance(error, XGBoostError) else ""
            raise _invalid(path, reason or "it is empty or damaged") from None
        self._configs = {kind: ctypes.c_char_p(_config(kind, rounds)) for kind in self.signature.kinds}
        matrix = b'{"data":[%%d,true],"shape":[%%d,%d],"typestr":"<f%d","version":3}'
        self._matrices = {typecode: matrix % (self.signature.width, size) for typecode, size in (("f", 4), ("d", 8))}

    def predict(self, values: array[float], rows: int, kind: Kind = "value") -> Prediction:
        width = self.signature.width
        if len(values) != rows * width:  # the library would read beyond the array
            raise ValueError(f"{rows} rows of {width} features have {rows * width} values, not {len(values)}.")
        shape = self.signature.kinds[kind]
        if kind == "value" or kind == "margin":
            call = self._thread_call()
            matrix = self._matrices[values.typecode] % (values.buffer_info()[0], rows)
            if self._library.XGBoosterPredictFromDense(self._booster, matrix, self._configs[kind], call.proxy, *call.answer):
                raise self._error()
            return Prediction(self._floats(call, rows, shape), shape)
        try:
            floats = self._predict_matrix(values, rows, kind)
        except XGBoostError:
            # Unlike a prediction in place, a matrix refuses infinity; the largest number is on the same side of every
            # split.
            floats = self._predict_matrix(array("f", map(_finite, values)), rows, kind)
        return Prediction(to_integers(floats) if kind == "leaf" else floats, shape)

    def _predict_matrix(self, values: array[float], rows: int, kind: Kind) -> array[float]:
        """Predict by way of a DMatrix, since there are no contributions and leaves in place."""
        matrix, call = _POINTER(), self._thread_call()
        of_values = self._matrices[values.typecode] % (values.buffer_info()[0], rows)
        self._call("XGDMatrixCreateFromDense", of_values, _CONVERSION, ctypes.byref(matrix))
        try:
            self._call("XGBoosterPredictFromDMatrix", self._booster, matrix, self._configs[kind], *call.answer)
            return self._floats(call, rows, self.signature.kinds[kind])
        finally:
            self._library.XGDMatrixFree(matrix)

    def _thread_call(self) -> _Call:
        found: _Call | None = getattr(self._local, "call", None)
        if found is None:
            found = self._local.call = _Call(self._library)
        return found

    def _floats(self, call: _Call, rows: int, shape: tuple[int, ...]) -> array[float]:
        """A copy of the prediction, which is in the library's memory until the thread's next call."""
        count = prod(call.shape[: call.dimensions.value])
        if count != rows * prod(shape):
            raise InvalidModel(f"{self._path} predicts {count} values for {rows} rows, not {shape} for each", remedy="save the model again")
        floats = array("f")
        floats.frombytes(ctypes.string_at(call.result.value or 0, 4 * count))
        return floats

    def _load(self, data: bytes) -> None:
        """Load from memory, where the library detects the format by the first two bytes, not by the file's name."""
        if data[1:2].isspace() or data[:1].isspace():
            data = data.lstrip()[:1] + data.lstrip()[1:].lstrip()
        if len(data) < _LEAST or not data.startswith(b"{"):  # the library would abort the process
            raise ValueError
        self._call("XGBoosterCreate", None, _SIZE(0), ctypes.byref(self._booster))
        self._call("XGBoosterLoadModelFromBuffer", self._booster, data, _SIZE(len(data)))
        self._call("XGBoosterSetParam", self._booster, b"nthread", b"1")

    def _signature(self, learner: dict[str, Any], rounds: int) -> Signature:
        width = _SIZE()
        self._call("XGBoosterGetNumFeature", self._booster, ctypes.byref(width))
        objective = str(learner["objective"]["name"])
        meaning = _MEANINGS.get(objective, "value")
        parameters = learner["learner_model_param"]
        groups = max(1, int(parameters["num_class"]), int(parameters["num_target"]))
        of_group: tuple[int, ...] = (groups,) if groups > 1 else ()
        trees = self._trees_a_round(learner)
        kinds: dict[Kind, tuple[int, ...]] = {"value": () if objective == "multi:softmax" else of_group, "margin": of_group}
        # A model with vector leaves (`multi_strategy`) is recognized by its number of trees a round. The library has no
        # contributions of them.
        if groups == 1 or trees != int(_tree_parameters(learner).get("num_parallel_tree", 1)):
            kinds["contributions"] = (*of_group, width.value + 1)
        if trees * rounds:
            kinds["leaf"] = (trees * rounds,)
        return Signature(
            width.value,
            self._feature_info(b"feature_name"),
            self._categorical(width.value),
            objective,
            meaning,
            _classes(objective, int(parameters["num_class"])),
            kinds,
            doubles=True,
        )

    def _trees_a_round(self, learner: dict[str, Any]) -> int:
        booster = learner["gradient_booster"]
        if booster["name"] == "gblinear":
            raise InvalidModel(
                f"{self._path} is a linear model (gblinear)", remedy="train one of trees (gbtree or dart), which can be served"
            )
        rounds = self._boosted_rounds()
        return int(_tree_parameters(learner)["num_trees"]) // rounds if rounds else 0

    def _rounds(self) -> int:
        """The number of rounds to predict with: up to the best one after early stopping, or all."""
        best, found = ctypes.c_char_p(), ctypes.c_int()
        self._call("XGBoosterGetAttr", self._booster, b"best_iteration", ctypes.byref(best), ctypes.byref(found))
        boosted = self._boosted_rounds()
        return min(int(best.value or b"") + 1, boosted) if found.value else boosted

    def _boosted_rounds(self) -> int:
        rounds = ctypes.c_int()
        self._call("XGBoosterBoostedRounds", self._booster, ctypes.byref(rounds))
        return rounds.value

    def _categorical(self, width: int) -> dict[str, tuple[Category, ...] | None]:
        types = self._feature_info(b"feature_type")
        if not {"c", "categorical"}.intersection(types):
            return {}
        names = self._feature_info(b"feature_name") or tuple(f"f{index}" for index in range(width))
        categories = self._categories() or [None] * width
        return {name: known for name, kind, known in zip(names, types, categories, strict=True) if kind in ("c", "categorical")}

    def _categories(self) -> list[tuple[Category, ...] | None]:
        """The categories of each feature, by code; empty for a model trained on codes, or before XGBoost 3.1."""
        if not hasattr(self._library, "XGBoosterGetCategoriesExportToArrow"):
            return []
        handle, exported = _POINTER(), ctypes.c_char_p()
        self._call("XGBoosterGetCategoriesExportToArrow", self._booster, None, ctypes.byref(handle), ctypes.byref(exported))
        try:
            return [_of_column(column) for column in orjson.loads(exported.value)] if exported.value else []
        finally:
            self._library.XGBCategoriesFree(handle)

    def _feature_info(self, field: bytes) -> tuple[str, ...]:
        length, strings = _SIZE(), ctypes.POINTER(ctypes.c_char_p)()
        self._call("XGBoosterGetStrFeatureInfo", self._booster, field, ctypes.byref(length), ctypes.byref(strings))
        return tuple((strings[index] or b"").decode() for index in range(length.value))

    def _learner(self) -> dict[str, Any]:
        length, config = _SIZE(), ctypes.c_char_p()
        self._call("XGBoosterSaveJsonConfig", self._booster, ctypes.byref(length), ctypes.byref(config))
        learner: dict[str, Any] = orjson.loads(config.value or b"{}")["learner"]
        return learner

    def _call(self, function: str, *arguments: object) -> None:
        if getattr(self._library, function)(*arguments) != 0:
            raise self._error()

    def _error(self) -> XGBoostError:
        message = (self._library.XGBGetLastError() or b"").decode(errors="replace")
        # The first line is the reason, after "[time] file:line: "; a stack trace follows.
        reason = _PLACE.sub("", message.partition("\n")[0]).replace(str(self._path), "the file")
        return XGBoostError(self._path, reason.strip(" :."))

    def __del__(self) -> None:
        if self._booster.value:
            self._library.XGBoosterFree(self._booster)


class _Call:
    """The arguments of a thread's calls, created once: a prediction of one row takes 0.1 ms."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self.proxy = _POINTER()
        self.shape, self.dimensions, self.result = ctypes.POINTER(_SIZE)(), _SIZE(), _POINTER()
        self.answer = (ctypes.byref(self.shape), ctypes.byref(self.dimensions), ctypes.byref(self.result))
        if library.XGProxyDMatrixCreate(ctypes.byref(self.proxy)):
            raise MemoryError

    def __del__(self) -> None:
        if self.proxy.value:
            self._library.XGDMatrixFree(self.proxy)


class XGBoostError(InvalidModel):
    """A call of the C API failed; `reason` is the library's."""

    def __init__(self, path: Path, reason: str, *, remedy: str = "save the model again") -> None:
        super().__init__(f"XGBoost cannot predict with {path}: {reason}", remedy=remedy)
        self.reason = reason


def _tree_parameters(learner: dict[str, Any]) -> dict[str, str]:
    booster = learner["gradient_booster"]
    found: dict[str, str] = booster.get("gbtree", booster)["gbtree_model_param"]
    return found


def _config(kind: Kind, rounds: int) -> bytes:
    return b'{"type":%d,"training":false,"iteration_begin":0,"iteration_end":%d,"missing":NaN,"strict_shape":false,"cache_id":0}' % (
        _TYPES[kind],
        rounds,
    )


def _classes(objective: str, classes: int) -> int:
    if objective.startswith("multi:"):
        return classes
    return 1 if objective in ("binary:logistic", "binary:hinge") else 0


def _of_column(column: dict[str, Any] | None) -> tuple[Category, ...] | None:
    """The categories of one feature, from the addresses that the library exports (Arrow's layout for strings)."""
    if column is None:
        return None
    if "offsets" not in column:
        return tuple(_numbers(column))
    offsets, letters = _numbers(column["offsets"]), _numbers(column["values"]).tobytes()
    if not letters.isascii():  # the package (3.1, 3.2) counts characters where these are bytes, and so stores them shifted and cut
        return None
    return tuple(letters[start:end].decode() for start, end in pairwise(offsets))


def _numbers(interface: dict[str, Any]) -> array[Any]:
    """A one-dimensional array by its interface (https://numpy.org/doc/stable/reference/arrays.interface.html)."""
    numbers = array(_TYPECODES[interface["typestr"]])
    numbers.frombytes(ctypes.string_at(interface["data"][0], interface["shape"][0] * numbers.itemsize))
    return numbers


def _finite(value: float) -> float:
    return value if value != value else max(-_LARGEST, min(_LARGEST, value))


@cache
def _library() -> ctypes.CDLL:
    found = library("xgboost", "install the package xgboost-cpu (or xgboost)")
    found.XGBGetLastError.restype = ctypes.c_char_p
    return found
