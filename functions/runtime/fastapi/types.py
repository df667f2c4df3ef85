"""Pydantic models made from a card. They accept the same values as the function's own protocols, by the same checks."""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema, create_model

from functions.runtime.contract.card import Card, Input
from functions.runtime.contract.checks import checker
from functions.runtime.contract.outputs import ServedOutput
from functions.runtime.documentation import records
from functions.runtime.errors import InvalidInput

_STRICT = ConfigDict(extra="forbid", populate_by_name=True, protected_namespaces=())


def request_type(card: Card, *, nulls: bool = False) -> type[BaseModel]:
    """Make a model of a row of the card's inputs.

    With `nulls` each may be null or absent, as for an artifact without a card. A name that is not a Python identifier,
    such as `sepal length (cm)`, is the alias of a field `sepal_length_cm`.
    """
    names = _field_names([item.name for item in card.inputs], taken=frozenset(dir(BaseModel)))
    fields: dict[str, Any] = {name: _field(item, nulls=nulls) for name, item in zip(names, card.inputs, strict=True)}
    made: type[BaseModel] = create_model(f"{_class_name(card.name)}Request", __config__=_STRICT, **fields)
    return made


def response_type(name: str, outputs: Sequence[ServedOutput]) -> Any:
    """Return the type of the only output's value, or make a model of several outputs."""
    if len(outputs) == 1:
        return _output(outputs[0])
    names = _field_names([item.name for item in outputs], taken=frozenset(dir(BaseModel)))
    fields: dict[str, Any] = {
        field: (_output(item), Field(alias=item.name) if field != item.name else ...) for field, item in zip(names, outputs, strict=True)
    }
    return create_model(f"{_class_name(name)}Response", __config__=_STRICT, **fields)


def _field(item: Input, *, nulls: bool) -> tuple[Any, Any]:
    schema = records.value(item, nulls=nulls)
    validated = Annotated[Any, PlainValidator(_validator(item, nulls=nulls)), WithJsonSchema(schema)]
    options: dict[str, Any] = {"alias": item.name, "description": item.description or None}
    return (validated, Field(None, **options) if item.optional or nulls else Field(**options))


def _validator(item: Input, *, nulls: bool) -> Callable[[Any], Any]:
    check = checker(item, bools=nulls)
    missing = item.optional or nulls

    def validate(value: Any) -> Any:
        if value is None and missing:
            return None
        try:
            check(value)
        except InvalidInput as error:
            raise ValueError(str(error)) from None
        return value

    return validate


def _output(item: ServedOutput) -> Any:
    return Annotated[Any, WithJsonSchema(records.output(item))]


def _class_name(name: str) -> str:
    return "".join(word[:1].upper() + word[1:] for word in re.split(r"\W+|_+", name)) or "Model"


def _field_names(names: Sequence[str], taken: frozenset[str]) -> list[str]:
    """Return a unique Python identifier for each name, which does not collide with pydantic's own attributes."""
    found: list[str] = []
    for name in names:
        field = re.sub(r"\W+", "_", name).strip("_") or "field"
        if field[0].isdigit():
            field = f"field_{field}"
        while field in found or field in taken or keyword.iskeyword(field) or (field != name and field in names):
            field += "_"
        found.append(field)
    return found
