"""The assignment of the categories in a LightGBM file to its columns.

The file has the categories of each pandas column of the type `category` (`pandas_categorical`, in the order of the
columns), but not which columns these were: an ordered one is a number to LightGBM, and so are all that
`categorical_feature` does not name, which in turn may name columns of another type. So a column gets categories only
where no other assignment fits the file's statistics.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence

import orjson

from functions.runtime.contract.categories import Category, is_category, text_of

_PANDAS = re.compile(rb"^pandas_categorical:(.*)$", re.MULTILINE)
_SPLITS = re.compile(rb"^split_feature=(.*)\n(?:.*\n)?threshold=(.*)$", re.MULTILINE)
_NO_INFO = "none"  # for a column that no tree splits on

Known = tuple[Category, ...] | None


def categories_of(text: bytes, infos: Sequence[str], categorical: set[int]) -> dict[int, Known]:
    """The categories by column: of all `categorical`, None where ambiguous, and of ordered columns that are certain."""
    lists = _lists(text)
    fits = _Fitting(text, infos, categorical)
    places = _only_places([len(found) for found in lists], len(infos), fits)
    certain = {place: _distinct(found) for place, found in zip(places, lists, strict=True)} if places is not None else {}
    return {column: certain.get(column) for column in sorted(categorical | certain.keys())}


def largest_codes(infos: Sequence[str], categorical: set[int]) -> dict[int, int]:
    """The largest code in training, by column."""
    return {column: max(_codes(infos[column]), default=-1) for column in categorical}


class _Fitting:
    """Whether a column can have so many categories, by its statistics in training.

    Thresholds are parsed on first use.
    """

    def __init__(self, text: bytes, infos: Sequence[str], categorical: set[int]) -> None:
        self._text = text
        self._infos = infos
        self._categorical = categorical
        self._fractional: set[int] | None = None

    def __call__(self, column: int, count: int) -> bool:
        info = self._infos[column]
        if info == _NO_INFO:
            return True
        if column in self._categorical:
            return max(_codes(info), default=-1) < count
        least, most = map(float, info.strip("[]").split(":"))
        if not (least.is_integer() and most.is_integer() and least >= 0 and most < count):
            return False
        if self._fractional is None:
            self._fractional = set(_with_fractional_thresholds(self._text))
        return column not in self._fractional


def _only_places(counts: Sequence[int], width: int, fits: Callable[[int, int], bool]) -> list[int] | None:
    """The column of each list of categories, in order; None unless exactly one choice of columns fits.

    The choice is unique if the first columns that fit are also the last ones.
    """
    first = _first_places(counts, range(width), fits)
    last = _first_places(counts[::-1], range(width - 1, -1, -1), fits)
    return first if first is not None and last is not None and first == last[::-1] else None


def _first_places(counts: Sequence[int], columns: Sequence[int], fits: Callable[[int, int], bool]) -> list[int] | None:
    places: list[int] = []
    remaining = iter(columns)
    for count in counts:
        place = next((column for column in remaining if fits(column, count)), None)
        if place is None:
            return None
        places.append(place)
    return places


def _lists(text: bytes) -> list[list[Category]]:
    """The lists of categories in the file. Raises ValueError where the package would not have written them."""
    found = _PANDAS.search(text, text.rfind(b"\nend of trees") + 1)  # the trees are long, and the pattern slow
    if found is None:
        return []
    try:
        lists = orjson.loads(found[1])
    except orjson.JSONDecodeError:
        lists = json.loads(found[1])  # the package writes infinity, which orjson refuses
    if lists is None:
        return []
    if not isinstance(lists, list) or not all(isinstance(item, list) for item in lists):
        raise ValueError("pandas_categorical is not a list of lists")
    return lists


def _distinct(categories: list[Category]) -> Known:
    """The categories as a tuple; None where callers could not send or distinguish them."""
    if not all(map(is_category, categories)):
        return None
    return tuple(categories) if len(set(map(text_of, categories))) == len(categories) else None


def _codes(info: str) -> list[int]:
    return [int(code) for code in info.split(":")] if info != _NO_INFO else []


def _with_fractional_thresholds(text: bytes) -> Iterator[int]:
    """The columns with a split that is not half-way between two integers, as all splits between codes are."""
    for found in _SPLITS.finditer(text):
        for column, threshold in zip(found[1].split(), found[2].split(), strict=True):
            double = 2 * float(threshold)
            if abs(double - round(double)) > 1e-6:
                yield int(column)
