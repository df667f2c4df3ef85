"""XGBoost by its C API (https://xgboost.readthedocs.io/en/stable/c.html), on the library inside the wheel.

`import xgboost` pulls in numpy and scipy: a second of every cold start, and half the time of a small prediction.
"""

from __future__ import annotations

import ctypes
import importlib.util
import re
import sys
from array import array
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from functions.runtime.errors import InvalidModel
from functions.runtime.models import Signature

_LIBRARY = {"linux": "libxgboost.so", "darwin": "libxgboost.dylib", "win32": "xgboost.dll"}
_POINTER = ctypes.c_void_p
_SIZE = ctypes.c_uint64
_PLACE = re.compile(r"^\[[\d:]+\] \S+:\d+:")


def load(path: Path, *, threads: int) -> XGBoostModel:
    return XGBoostModel(path, threads)


class XGBoostModel:
    """A booster and a proxy matrix of its own. Predictions equal `Booster.inplace_predict` to the bit, `best_iteration` honoured."""

    def __init__(self, path: Path, threads: int) -> None:
        self._library = _library()
        self._booster = _POINTER()
        self._proxy = _POINTER()
        self._call("XGBoosterCreate", None, _SIZE(0), ctypes.byref(self._booster))
        try:
            self._call("XGBoosterLoadModel", self._booster, str(path).encode())
        except XGBoostError as error:
            reason = str(error).replace(str(path), "").strip(" :`.") or "it is empty or damaged"
            raise InvalidModel(f"{path} is no XGBoost model in JSON or UBJ: {reason}; save it by Booster.save_model.") from None
        self._call("XGBoosterSetParam", self._booster, b"nthread", str(threads).encode())
        self._call("XGProxyDMatrixCreate", ctypes.byref(self._proxy))
        self.signature = self._read_signature(path)
        self._config = _predict_config(self._attribute("best_iteration"))

    def predict(self, values: array[float], rows: int) -> array[float]:
        address, _ = values.buffer_info()
        matrix = b'{"data":[%d,true],"shape":[%d,%d],"typestr":"<f4","version":3}' % (address, rows, self.signature.width)
        shape, dimensions, result = ctypes.POINTER(_SIZE)(), _SIZE(), _POINTER()
        self._call(
            "XGBoosterPredictFromDense",
            self._booster,
            matrix,
            self._config,
            self._proxy,
            ctypes.byref(shape),
            ctypes.byref(dimensions),
            ctypes.byref(result),
        )
        count = 1
        for axis in range(dimensions.value):
            count *= shape[axis]
        scores = array("f")
        scores.frombytes(ctypes.string_at(result.value or 0, 4 * count))
        return scores

    def _read_signature(self, path: Path) -> Signature:
        width = _SIZE()
        self._call("XGBoosterGetNumFeature", self._booster, ctypes.byref(width))
        names, types = self._feature_info(b"feature_name"), self._feature_info(b"feature_type")
        features = names or tuple(f"f{index}" for index in range(width.value))
        categorical = tuple(name for name, kind in zip(features, types, strict=False) if kind in ("c", "categorical"))
        learner = self._learner()
        if learner["gradient_booster"]["name"] == "gblinear":
            raise InvalidModel(f"{path} is a linear model (gblinear); train one of trees (gbtree or dart), which can be served.")
        return Signature(width.value, names, categorical, str(learner["objective"]["name"]))

    def _feature_info(self, field: bytes) -> tuple[str, ...]:
        length, strings = _SIZE(), ctypes.POINTER(ctypes.c_char_p)()
        self._call("XGBoosterGetStrFeatureInfo", self._booster, field, ctypes.byref(length), ctypes.byref(strings))
        return tuple((strings[index] or b"").decode() for index in range(length.value))

    def _attribute(self, name: str) -> str | None:
        value, found = ctypes.c_char_p(), ctypes.c_int()
        self._call("XGBoosterGetAttr", self._booster, name.encode(), ctypes.byref(value), ctypes.byref(found))
        return (value.value or b"").decode() if found.value else None

    def _learner(self) -> dict[str, Any]:
        length, config = _SIZE(), ctypes.c_char_p()
        self._call("XGBoosterSaveJsonConfig", self._booster, ctypes.byref(length), ctypes.byref(config))
        learner: dict[str, Any] = orjson.loads(config.value or b"{}")["learner"]
        return learner

    def _call(self, function: str, *arguments: object) -> None:
        if getattr(self._library, function)(*arguments) != 0:
            message = (self._library.XGBGetLastError() or b"").decode(errors="replace")
            # The first line says what is wrong, after "[time] file:line: "; a stack trace follows.
            raise XGBoostError(_PLACE.sub("", message.partition("\n")[0]).strip())

    def __del__(self) -> None:
        if self._proxy.value:
            self._library.XGDMatrixFree(self._proxy)
        if self._booster.value:
            self._library.XGBoosterFree(self._booster)


class XGBoostError(Exception):
    """A call of the C API failed; the message is the library's."""


def _predict_config(best_iteration: str | None) -> bytes:
    end = int(best_iteration) + 1 if best_iteration is not None else 0
    return b'{"type":0,"training":false,"iteration_begin":0,"iteration_end":%d,"missing":NaN,"strict_shape":false,"cache_id":0}' % end


@cache
def _library() -> ctypes.CDLL:
    spec = importlib.util.find_spec("xgboost")  # finds the package without importing it
    if spec is None or not spec.submodule_search_locations:
        raise InvalidModel("XGBoost is not installed; install the package xgboost-cpu (or xgboost).")
    path = Path(spec.submodule_search_locations[0]) / "lib" / _LIBRARY.get(sys.platform, "libxgboost.so")
    library = ctypes.CDLL(str(path))
    library.XGBGetLastError.restype = ctypes.c_char_p
    return library
