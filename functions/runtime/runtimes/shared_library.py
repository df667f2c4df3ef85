"""The shared library inside an installed package, loaded without importing the package.

The import would load numpy and scipy.
"""

from __future__ import annotations

import ctypes
import importlib.util
from array import array
from functools import cache
from pathlib import Path

from functions.runtime.contract.checks import slices
from functions.runtime.errors import InvalidModel


@cache
def library(package: str, remedy: str) -> ctypes.CDLL:
    """Load the shared library of `package`. Raises InvalidModel, with `remedy` where it is not installed."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise InvalidModel(f"the package {package} is not installed", remedy=remedy)
    # libxgboost.so, libxgboost.dylib, xgboost.dll; lib_lightgbm.so and so on
    found = next((Path(spec.submodule_search_locations[0]) / "lib").glob(f"*{package}.*"), None)
    if found is None:
        raise InvalidModel(f"the package {package} is installed without its library", remedy=remedy)
    try:
        return ctypes.CDLL(str(found))
    except OSError as error:  # LightGBM's wheel does not include OpenMP, which a slim image may lack
        raise InvalidModel(
            f"the library of {package} cannot be loaded: {error}", remedy="install the libraries that it needs, such as libgomp1"
        ) from None


def to_integers(values: array[float]) -> array[int]:
    """Convert numbers of leaves, which the libraries return as floats."""
    found: array[int] = array("i")
    for part in slices(values):
        found.extend(map(int, part))
    return found
