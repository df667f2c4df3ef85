"""Which columns of a LightGBM model the categories in its file belong to.

The file has the categories of each pandas column of the type `category` (`pandas_categorical`, in the order of the columns), but
not which columns these were: an ordered one is a number to LightGBM, and so are all that `categorical_feature` does not name; what it
names need not be of that type. Hence a column gets categories only where no other assignment fits what the file says of its columns.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence

import orjson

from functions.runtime.contract.categories import Category, is_category, text_of

_PANDAS = re.compile(rb"^pandas_categorical:(.*)$", re.MULTILINE)
_SPLITS = re.compile(rb"^split_feature=(.*)\n(?:.*\n)?threshold=(.*)$", re.MULTILINE)
_NO_INFO = "none"  # of a column that no tree splits on

Known = tuple[Category, ...] | None


def categories_of(text: bytes, infos: Sequence[str], categorical: set[int]) -> dict[int, Known]:
    """By column: all of `categorical`, and beside them the ordered ones that are certain. None where the file does not tell."""
    lists = _lists(text)
    fits = _Fitting(text, infos, categorical)
    places = _only_places([len(found) for found in lists], len(infos), fits)
    certain = {place: _distinct(found) for place, found in zip(places, lists, strict=True)} if places is not None else {}
    return {column: certain.get(column) for column in sorted(categorical | certain.keys())}


def largest_codes(infos: Sequence[str], categorical: set[int]) -> dict[int, int]:
    """By column, the largest code that it had in training."""
    return {column: max(_codes(infos[column]), default=-1) for column in categorical}


class _Fitting:
    """Whether a column can be one of so many categories, by what training saw of it. Thresholds are read when first asked for."""

    def __init__(self, text: bytes, infos: Sequence[str], categorical: set[int]) -> None:
        self._text = text
        self._infos = infos
        self._categorical = categorical
        self._not_whole: set[int] | None = None

    def __call__(self, column: int, count: int) -> bool:
        info = self._infos[column]
        if info == _NO_INFO:
            return True
        if column in self._categorical:
            return max(_codes(info), default=-1) < count
        least, most = map(float, info.strip("[]").split(":"))
        if not (least.is_integer() and most.is_integer() and least >= 0 and most < count):
            return False
        if self._not_whole is None:
            self._not_whole = set(_with_odd_thresholds(self._text))
        return column not in self._not_whole


def _only_places(counts: Sequence[int], width: int, fits: Callable[[int, int], bool]) -> list[int] | None:
    """The column of each list of categories, in order; None unless exactly one choice of columns fits.

    If the first columns that fit are the last ones too, there is no other choice.
    """
    first = _first_places(counts, range(width), fits)
    last = _first_places(counts[::-1], range(width - 1, -1, -1), fits)
    return first if first is not None and last is not None and first == last[::-1] else None


def _first_places(counts: Sequence[int], columns: Sequence[int], fits: Callable[[int, int], bool]) -> list[int] | None:
    places: list[int] = []
    left = iter(columns)
    for count in counts:
        place = next((column for column in left if fits(column, count)), None)
        if place is None:
            return None
        places.append(place)
    return places


def _lists(text: bytes) -> list[list[Category]]:
    """Raises ValueError for what the package would not write."""
    found = _PANDAS.search(text, text.rfind(b"\nend of trees") + 1)  # the trees are long, and the pattern slow
    if found is None:
        return []
    try:
        lists = orjson.loads(found[1])
    except orjson.JSONDecodeError:
        lists = json.loads(found[1])  # the package writes infinity, which JSON has not
    if lists is None:
        return []
    if not isinstance(lists, list) or not all(isinstance(item, list) for item in lists):
        raise ValueError("pandas_categorical is no list of lists")
    return lists


def _distinct(categories: list[Category]) -> Known:
    """None for categories that no caller could tell apart, or send."""
    if not all(map(is_category, categories)):
        return None
    return tuple(categories) if len(set(map(text_of, categories))) == len(categories) else None


def _codes(info: str) -> list[int]:
    return [int(code) for code in info.split(":")] if info != _NO_INFO else []


def _with_odd_thresholds(text: bytes) -> Iterator[int]:
    """The columns with a split that is not half-way between two whole numbers, as all splits between codes are."""
    for found in _SPLITS.finditer(text):
        for column, threshold in zip(found[1].split(), found[2].split(), strict=True):
            double = 2 * float(threshold)
            if abs(double - round(double)) > 1e-6:
                yield int(column)
