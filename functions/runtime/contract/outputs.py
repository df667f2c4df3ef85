"""The outputs of a card, each converted from one kind of the artifact's predictions."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple, cast

from functions.runtime.contract.card import Card, Output
from functions.runtime.contract.checks import slices, some
from functions.runtime.contract.signature import Kind, Prediction, Signature
from functions.runtime.errors import InvalidInput, InvalidModel

_DATATYPES = {"f": "FP32", "d": "FP64", "i": "INT32", "q": "INT64"}
_TYPECODES = {datatype: typecode for typecode, datatype in _DATATYPES.items()}
# Outputs that a request may name in addition to those of the card, if the artifact supports them.
_EXTRAS: dict[str, str] = {
    "margin": "The prediction before the link function.",
    "contributions": "What each feature adds to the margin (SHAP values), and last the bias.",
    "leaf": "The leaf of each tree that the row falls into.",
}


_Convert = Callable[[Prediction], "array[Any] | list[str]"]


class OutputTensor(NamedTuple):
    """One tensor of an answer; `data` is row-major, strings for BYTES."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: array[Any] | list[str]


@dataclass(frozen=True, slots=True)
class ServedOutput:
    """An output as it is served: its meaning, the kind of prediction behind it, and the shape of a row."""

    name: str
    datatype: str
    meaning: str
    kind: Kind
    shape: tuple[int, ...]
    width: int
    convert: _Convert
    description: str = ""
    classes: tuple[str, ...] | None = None
    threshold: float | None = None
    on_request: bool = False

    def tensor(self, prediction: Prediction, count: int) -> OutputTensor:
        """The tensor of `count` rows.

        Raises InvalidModel when the prediction does not fit the datatype or the classes.
        """
        return OutputTensor(self.name, self.datatype, (count, *self.shape), self.convert(prediction))


class Outputs:
    """The outputs of one model: those of the card, in its order, then the additional ones."""

    def __init__(self, served: Sequence[ServedOutput]) -> None:
        self.all = tuple(served)
        self.default = tuple(item for item in served if not item.on_request)
        self._known = {item.name: item for item in served}

    def select(self, names: Sequence[str]) -> tuple[ServedOutput, ...]:
        """The named outputs, in the order of the request.

        Raises InvalidInput for an unknown name, or one given twice.
        """
        unknown = [name for name in names if name not in self._known]
        if unknown:
            raise InvalidInput(f"the model has no output {some(unknown)}; its outputs are {', '.join(self._known)}.")
        if len(set(names)) != len(names):
            raise InvalidInput("an output is named twice", remedy="name each once")
        return tuple(self._known[name] for name in names)


def resolve(card: Card, signature: Signature) -> Outputs:
    """Match the card's outputs with an artifact. Raises InvalidModel for one that it cannot predict."""
    served = [_serve(card, item, signature) for item in card.outputs]
    taken = {item.name for item in served} | {item.meaning for item in served}
    extras = [
        _serve(card, Output(name, description=description, meaning=name, on_request=True), signature)
        for name, description in _EXTRAS.items()
        if name not in taken and name in signature.kinds and signature.meaning != name
    ]
    return Outputs([*served, *extras])


def _serve(card: Card, output: Output, signature: Signature) -> ServedOutput:
    meaning = output.meaning or signature.meaning
    kind = _kind(meaning, signature)
    if kind is None:
        raise InvalidModel(
            f"the output {output.name} of the model {card.name} is a {meaning}, but its artifact ({signature.objective or card.runtime})"
            f" predicts a {signature.meaning}",
            remedy="fix the output's meaning, or train for another objective",
        )
    shape = signature.kinds[kind]
    native = "INT32" if kind == "leaf" else _DATATYPES[signature.typecode]
    if meaning == "label":
        if signature.meaning == "probability" and signature.classes > 1:
            shape = shape[:-1]
        native = "BYTES" if output.classes else "INT32"
    elif output.threshold is not None:
        raise InvalidModel(f"the output {output.name} of the model {card.name} has a threshold, but only a label is decided by one.")
    datatype = output.datatype or native
    if (datatype == "BYTES") != (native == "BYTES") or (datatype != "BYTES" and datatype not in _TYPECODES):
        raise InvalidModel(
            f"the output {output.name} of the model {card.name} has the datatype {datatype}, but its values are {native}",
            remedy="fix the datatype, or leave it out",
        )
    _check_classes(card, output, signature)
    return ServedOutput(
        output.name,
        datatype,
        meaning,
        kind,
        shape,
        prod(shape),
        _checked(_converter(output, meaning, signature, datatype), card, output.name, datatype),
        output.description,
        output.classes,
        output.threshold,
        output.on_request,
    )


def _kind(meaning: str, signature: Signature) -> Kind | None:
    """The kind of prediction that an output of this meaning is made from; None if the artifact does not support it."""
    if meaning in ("value", signature.meaning):
        return "value"
    if meaning == "label":
        return "value" if signature.meaning == "probability" else None
    return cast("Kind", meaning) if meaning != "probability" and meaning in signature.kinds else None


def _check_classes(card: Card, output: Output, signature: Signature) -> None:
    if output.classes is None or not signature.classes:
        return
    count = 2 if signature.classes == 1 else signature.classes
    if len(output.classes) != count:
        raise InvalidModel(
            f"the output {output.name} of the model {card.name} names {len(output.classes)} classes, its artifact has {count}",
            remedy="name all classes of the artifact",
        )


def _converter(output: Output, meaning: str, signature: Signature, datatype: str) -> _Convert:
    numbers = _labels(output, signature) if meaning == "label" else _unchanged
    classes = output.classes
    if meaning == "label" and classes:
        return lambda prediction: [classes[_position(number)] for number in numbers(prediction)]
    typecode = _TYPECODES[datatype]

    def convert(prediction: Prediction) -> array[Any]:
        found = numbers(prediction)
        if found.typecode == typecode:
            return found
        made = array(typecode)
        for part in slices(found):
            made.extend(map(int, part) if typecode in "iq" else array(typecode, part))
        return made

    return convert


def _checked(convert: _Convert, card: Card, name: str, datatype: str) -> _Convert:
    """Raise InvalidModel where a user's runtime predicts a number beyond the card's datatype or classes."""

    def checked(prediction: Prediction) -> array[Any] | list[str]:
        try:
            return convert(prediction)
        except (ValueError, OverflowError, IndexError):  # NaN, a number that is too large, or one that is not a class
            expected = "a label" if datatype == "BYTES" else datatype
            raise InvalidModel(
                f"the model {card.name} predicts a number that its output {name} ({expected}) cannot hold, such as NaN",
                remedy="make the output FP64, or fix the runtime",
            ) from None

    return checked


def _unchanged(prediction: Prediction) -> array[Any]:
    return prediction.values


def _position(number: float) -> int:
    """The index of a class. Raises ValueError for a negative number, which would count from the end."""
    if number < 0:
        raise ValueError
    return int(number)


def _labels(output: Output, signature: Signature) -> Callable[[Prediction], array[Any]]:
    """A function to the numbers of the classes: as predicted, by the threshold, or the most probable."""
    if signature.meaning == "label":
        return _unchanged
    if signature.classes == 1:
        threshold = 0.5 if output.threshold is None else output.threshold
        return lambda prediction: array("i", [value > threshold for value in prediction.values])
    width = signature.classes

    def most_probable(prediction: Prediction) -> array[Any]:
        rows = (prediction.values[start : start + width] for start in range(0, len(prediction.values), width))
        return array("i", [row.index(max(row)) for row in rows])

    return most_probable
