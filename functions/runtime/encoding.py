"""From what a caller sends to what an artifact takes: records and columns, checked against the card, become rows of float32."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from eventing.errors import TidegateError
from functions.runtime.card import Card, Input
from functions.runtime.errors import InvalidInput

Transform = Callable[[Mapping[str, Any]], Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Rows:
    """`count` rows of float32 features, row-major, NaN for missing."""

    values: array[float]
    count: int


class Encoder:
    """Turns records by input name into rows by feature, in the artifact's order.

    With `nulls` every input may be null, as an artifact without a card cannot say which; it must still be there.
    """

    def __init__(self, card: Card, features: Sequence[str], transform: Transform | None = None, *, nulls: bool = False) -> None:
        self.inputs = card.inputs
        self.width = len(features)
        self._known = {item.name: item for item in card.inputs}
        self._checks = [(item.name, _checker(item), item.optional) for item in card.inputs]
        self._nulls = nulls
        self._transform = transform or _Codes(card.inputs)
        self._pick = itemgetter(*features) if len(features) > 1 else lambda row: (row[features[0]],)

    def record(self, record: Any) -> tuple[float, ...]:
        """One row. Raises InvalidInput naming the input; fields that are no inputs are for other readers, and pass."""
        if not isinstance(record, Mapping):
            raise InvalidInput(f"a row is an object with the model's inputs by name, not {_name_of(record)}.")
        checked: dict[str, Any] = {}
        for name, check, optional in self._checks:
            value = record.get(name)
            if value is not None:
                checked[name] = check(value)
            elif not optional and not (self._nulls and name in record):
                raise InvalidInput(f"the input {name} is missing; send it with every row.")
        try:
            return tuple(self._pick(self._transform(checked)))
        except ValueError as error:
            raise InvalidInput(str(error)) from None

    def records(self, records: Iterable[Any]) -> Rows:
        """All rows; the first bad one fails the lot, named by its position."""
        values = array("f")
        count = 0
        for count, record in enumerate(records, 1):
            try:
                values.extend(self.record(record))
            except TidegateError as error:
                raise InvalidInput(f"row {count - 1}: {error}") from None
        return Rows(values, count)

    def check_names(self, names: Iterable[str]) -> None:
        """Callers that name every input are held to the card: an unknown name is an error, and so is one left out."""
        given = set(names)
        unknown = sorted(given - self._known.keys())
        if unknown:
            raise InvalidInput(f"the model has no input {', '.join(unknown)}; its inputs are {', '.join(self._known)}.")
        missing = [item.name for item in self.inputs if not item.optional and item.name not in given]
        if missing:
            raise InvalidInput(f"the input {', '.join(missing)} is missing; the model's inputs are {', '.join(self._known)}.")

    def rows_by_position(self, rows: Iterable[Any]) -> Rows:
        """Rows as lists in the order of the card's inputs; each must have them all."""
        names = tuple(self._known)
        return self.records(_by_position(index, row, names) for index, row in enumerate(rows))


def _by_position(index: int, row: Any, names: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(row, list):
        raise InvalidInput(f"row {index} is {_name_of(row)}; send a list of {len(names)} values, or an object by input name.")
    if len(row) != len(names):
        raise InvalidInput(f"row {index} has {len(row)} values; the model takes {len(names)}: {', '.join(names)}.")
    return dict(zip(names, row, strict=True))


class _Codes:
    """Without a transform the inputs are the features: numbers as they are, categories as their position in the card."""

    def __init__(self, inputs: Sequence[Input]) -> None:
        self._names = [item.name for item in inputs]
        self._codes = {
            item.name: {category: float(code) for code, category in enumerate(item.categories)}
            for item in inputs
            if item.categories is not None
        }

    def __call__(self, record: Mapping[str, Any]) -> Mapping[str, float]:
        row = {name: record.get(name, math.nan) for name in self._names}
        for name, codes in self._codes.items():
            if name in record:
                row[name] = codes[record[name]]
        return row


def _checker(item: Input) -> Callable[[Any], Any]:
    if item.datatype == "BYTES":
        return _text_checker(item)
    if item.datatype == "BOOL":
        return _bool_checker(item)
    return _number_checker(item, whole="INT" in item.datatype)


def _text_checker(item: Input) -> Callable[[Any], str]:
    categories = frozenset(item.categories) if item.categories is not None else None

    def check(value: Any) -> str:
        if type(value) is not str:
            raise InvalidInput(f"the input {item.name} is {_name_of(value)}; it must be a text.")
        if categories is not None and value not in categories:
            raise InvalidInput(f"the input {item.name} is {value!r}, which is none of its {len(categories)} categories: {_some(item)}.")
        return value

    return check


def _bool_checker(item: Input) -> Callable[[Any], float]:
    def check(value: Any) -> float:
        if type(value) is not bool:
            raise InvalidInput(f"the input {item.name} is {_name_of(value)}; it must be true or false.")
        return float(value)

    return check


def _number_checker(item: Input, *, whole: bool) -> Callable[[Any], float]:
    def check(value: Any) -> float:
        if type(value) is not float and type(value) is not int:
            raise InvalidInput(f"the input {item.name} is {_name_of(value)}; it must be a number.")
        try:
            number = float(value)
        except OverflowError:
            raise InvalidInput(f"the input {item.name} is too large for a number.") from None
        if whole and not number.is_integer():
            raise InvalidInput(f"the input {item.name} is {value!r}; it must be a whole number.")
        return number

    return check


def _name_of(value: Any) -> str:
    """A value as an error message shows it: what kind it is, and its beginning."""
    if isinstance(value, str):
        return f"the text {value[:40]!r}"
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    return "null" if value is None else repr(value)[:40]


def _some(item: Input) -> str:
    categories = item.categories or ()
    shown = ", ".join(categories[:8])
    return shown if len(categories) <= 8 else f"{shown}, …"
