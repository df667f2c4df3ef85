"""Encodes records, columns and matrices, checked against the card, as the rows of numbers that an artifact takes.

There are two paths to the same rows. The fast one converts whole columns and has no error messages; where it gives up,
the slow one checks each value, and finds either the same rows or the error.
"""

from __future__ import annotations

import math
import struct
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from typing import Any

from common.errors import TidegateError
from functions.runtime.contract.card import Card, Input
from functions.runtime.contract.categories import Category
from functions.runtime.contract.checks import (
    SLICE,
    Column,
    NeedsSlowPath,
    are_ordinary,
    checker,
    converter,
    is_plain,
    may_be_infinite,
    name_of,
    numbers,
    slices,
    some,
)
from functions.runtime.errors import InvalidInput

# Below this the slow path is the faster one.
_MANY_ROWS = 8

Transform = Callable[[Mapping[str, Any]], Mapping[str, float]]


@dataclass(slots=True)  # frozen, it would take four times as long to make
class Rows:
    """`count` rows of features, row-major, in the artifact's precision ("f" or "d"), NaN for missing."""

    values: array[float]
    count: int


class Encoder:
    """Encodes values by input as rows by feature, in the artifact's order and precision.

    With `nulls` any input of a row may be null or absent, but not all may be absent: an artifact without a card does
    not say which are optional. With `doubles` the artifact takes rows of "d" as well as of its `typecode`, so that
    doubles need not be copied.
    """

    def __init__(
        self,
        card: Card,
        features: Sequence[str],
        transform: Transform | None = None,
        *,
        nulls: bool = False,
        typecode: str = "f",
        doubles: bool = False,
    ) -> None:
        self.inputs = card.inputs
        self.names = tuple(item.name for item in card.inputs)
        self.features = tuple(features)
        self.width = len(features)
        self._known = frozenset(self.names)
        self._checks = [(item.name, checker(item, bools=nulls), item.optional) for item in card.inputs]
        self.nulls = nulls
        self._typecode = typecode
        self._doubles = doubles
        self._transform = transform or _Codes(card.inputs)
        self._pick = _getter(self.features)
        self._pack_row = struct.Struct(f"{self.width}{typecode}").pack
        self._fast = transform is None
        self._pick_inputs = _getter(self.names)
        self._converters = {item.name: converter(_nullable(item) if nulls else item) for item in card.inputs}
        self._position = {name: index for index, name in enumerate(features)}
        self._plain = self._fast and self.names == self.features and all(map(is_plain, card.inputs))
        self._required = () if nulls else tuple(index for index, item in enumerate(card.inputs) if not item.optional)

    def record(self, record: Any) -> array[float]:
        """Encode one object by input name.

        Raises InvalidInput, naming the input. Other fields are ignored: an event has many readers.
        """
        if not isinstance(record, Mapping):
            raise InvalidInput(f"a row must be an object with the model's inputs by name, not {name_of(record)}.")
        checked: dict[str, Any] = {}
        for name, check, optional in self._checks:
            value = record.get(name)
            if value is not None and value == value:  # NaN, which only a binary tensor can send, means missing
                checked[name] = check(value)
            elif not optional and not self.nulls:
                raise InvalidInput(f"the input {name} is missing", remedy="send it with every row")
        if not checked and self.nulls and self._known.isdisjoint(record):
            raise InvalidInput(f"the row has none of the model's inputs, which are {some(self.names)}", remedy="send at least one of them")
        try:
            row = array(self._typecode, self._pick(self._transform(checked)))
        except ValueError as error:
            raise InvalidInput(str(error)) from None
        if math.inf in row or -math.inf in row:
            feature = self.features[next(index for index, value in enumerate(row) if math.isinf(value))]
            raise InvalidInput(f"the input {feature} is too large for the model", remedy="send a finite number")
        return row

    def records(self, records: Iterable[Any]) -> Rows:
        """Encode rows as records. The first invalid one fails all of them; the error has its position."""
        values: array[float] = array(self._typecode)
        count = 0
        for count, record in enumerate(records, 1):
            try:
                values.extend(self.record(record))
            except TidegateError as error:
                raise InvalidInput(f"row {count - 1}: {error.message}", remedy=error.remedy) from None
        return Rows(values, count)

    def objects(self, records: Sequence[Any]) -> Rows:
        """Encode rows as objects by input name, all of whose names must be inputs of the card."""
        if self._fast and set(map(type, records)) == {dict} and set(map(len, records)) == {len(self.names)}:
            try:
                return self.matrix(list(chain.from_iterable(map(self._pick_inputs, records))), len(records))
            except (KeyError, InvalidInput):
                pass  # a row lacks a name or has an invalid value: the slow path finds it, with its error
        for record in records:
            if isinstance(record, dict):
                self.check_names(record, absent=self.nulls)
        return self.records(records)

    def lists(self, rows: Sequence[Any]) -> Rows:
        """Encode rows as lists of all inputs, in the card's order."""
        width = len(self.names)
        for index, row in enumerate(rows):
            if not isinstance(row, list):
                raise InvalidInput(f"row {index} is {name_of(row)}", remedy=f"send a list of {width} values, or an object by input name")
            if len(row) != width:
                raise InvalidInput(f"row {index} has {len(row)} values; the model takes {width}: {', '.join(self.names)}.")
        return self.matrix(list(chain.from_iterable(rows)), len(rows))

    def matrix(self, data: Column, count: int) -> Rows:
        """Encode `count` rows of all inputs in the card's order, row-major in one flat list or array."""
        width = len(self.names)
        if self._plain:
            values = self._one_row(data) if count == 1 else None
            values = self._packed(data) if values is None else values
            if values is not None:
                return Rows(values, count)
        elif self._fast:
            return self.columns({name: data[index::width] for index, name in enumerate(self.names)}, count)
        rows = (data[start : start + width] for start in range(0, len(data), width))
        return self.records(dict(zip(self.names, row, strict=True)) for row in rows)

    def columns(self, columns: Mapping[str, Column], count: int) -> Rows:
        """Encode `count` values of each given input; the caller has checked the names by `check_names`."""
        if self._fast and count >= _MANY_ROWS:
            values = self._filled(columns, count)
            if values is not None:
                return Rows(values, count)
        return self.records(_by_row(columns))

    def knows(self, name: str) -> bool:
        """Whether the card has an input of this name."""
        return name in self._known

    def check_names(self, names: Iterable[str], *, absent: bool = False) -> None:
        """Raise InvalidInput for an unknown name, and unless `absent` for a required input that is missing."""
        given = set(names)
        unknown = sorted(given - self._known)
        if unknown:
            raise InvalidInput(f"the model has no input {some(unknown)}; its inputs are {', '.join(self.names)}.")
        missing = [item.name for item in self.inputs if not item.optional and item.name not in given]
        if missing and not absent:
            raise InvalidInput(f"the input {', '.join(missing)} is missing; the model's inputs are {', '.join(self.names)}.")

    def _one_row(self, data: Column) -> array[float] | None:
        """Pack one row of floats, the most frequent request, in as few calls as possible; None for any other data."""
        if type(data) is not list or list(map(type, data)).count(float) != self.width:
            return None
        try:
            values: array[float] = array(self._typecode, self._pack_row(*data))
        except OverflowError:
            return None
        return values if are_ordinary(values, self._typecode) else None

    def _packed(self, data: Column) -> array[float] | None:
        """Pack a matrix without converting columns; None if that needs checks of single values."""
        if self._doubles and isinstance(data, array) and data.typecode == "d" and are_ordinary(data, self._typecode):
            return data
        values = _pack(self._typecode, data)
        if values is None or are_ordinary(values, self._typecode):
            return values
        if _has_infinity(values):
            return None
        width = len(self.names)
        return None if any(math.isnan(sum(values[index::width])) for index in self._required) else values

    def _filled(self, columns: Mapping[str, Column], count: int) -> array[float] | None:
        values = array(self._typecode, [math.nan]) * (count * self.width)
        try:
            for name, column in columns.items():
                packed = _pack(self._typecode, self._converters[name](column))
                if packed is None:
                    return None
                values[self._position[name] :: self.width] = packed
        except (NeedsSlowPath, OverflowError):  # the latter for integers of hundreds of digits
            return None
        return None if _has_infinity(values) else values


class _Codes:
    """The transform of a card without one: numbers as they are, categories as their position in the card."""

    def __init__(self, inputs: Sequence[Input]) -> None:
        self._missing = {item.name: math.nan for item in inputs}
        self._codes: dict[str, dict[Category, float]] = {
            item.name: {category: float(code) for code, category in enumerate(item.categories)}
            for item in inputs
            if item.categories is not None
        }

    def __call__(self, record: Mapping[str, Any]) -> Mapping[str, float]:
        row = {**self._missing, **record}
        for name, codes in self._codes.items():
            if name in record:
                row[name] = codes[record[name]]
        return row


def _pack(typecode: str, data: Column) -> array[float] | None:
    """Pack numbers in one precision; None if a value is not a number or does not fit."""
    if isinstance(data, array) and data.typecode == typecode:
        return data
    try:
        if len(data) <= SLICE:
            return _converted(typecode, data)
        packed: array[float] = array(typecode)
        for part in slices(data):
            packed += _converted(typecode, part)
    except (NeedsSlowPath, OverflowError, struct.error):
        return None
    return packed


def _converted(typecode: str, data: Column) -> array[float]:
    found = numbers(data)
    # Three times faster than array(typecode, found), and it raises on overflow.
    return array(typecode, struct.pack(f"{len(found)}{typecode}", *found))


def _has_infinity(values: array[float]) -> bool:
    return any(may_be_infinite(part) and (math.inf in part or -math.inf in part) for part in slices(values))


def _nullable(item: Input) -> Input:
    return Input(item.name, item.datatype, True, item.categories, item.minimum, item.maximum)


def _getter(names: Sequence[str]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    """An itemgetter that returns a tuple for a single name too."""
    return itemgetter(*names) if len(names) > 1 else lambda row: (row[names[0]],)


def _by_row(columns: Mapping[str, Column]) -> Iterator[dict[str, Any]]:
    names = tuple(columns)
    return (dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True))
