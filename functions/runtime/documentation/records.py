"""JSON Schemas (draft 2020-12) of one row: the inputs of a model's card, and its outputs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from functions.runtime.contract.card import Input
from functions.runtime.contract.categories import Category, spellings_of
from functions.runtime.contract.checks import range_of
from functions.runtime.contract.datatypes import WHOLE
from functions.runtime.contract.outputs import ServedOutput
from functions.runtime.documentation.model_spec import ModelSpec

Schema = dict[str, Any]
# From this number on, a double is rounded to infinity in single precision, which is used for FP32 and FP16 inputs.
_FP32_END = 2.0**128 - 2.0**103


def record(model: ModelSpec, *, strict: bool = False) -> Schema:
    """Return the schema of a row by input name; with `strict` other fields are not allowed."""
    return {
        "type": "object",
        "description": model.card.description or f"A row for the model {model.title}.",
        **_required(model, strict=strict),
        "properties": {item.name: value(item, nulls=model.nulls) for item in model.card.inputs},
        **({"additionalProperties": False} if strict else {}),
    }


def _required(model: ModelSpec, *, strict: bool) -> Schema:
    """Require all inputs that are not optional; with `nulls`, any one input."""
    if not model.nulls:
        return {"required": [item.name for item in model.card.inputs if not item.optional]}
    return {"minProperties": 1} if strict else {"anyOf": [{"required": [item.name]} for item in model.card.inputs]}


def positional(model: ModelSpec) -> Schema:
    """Return the schema of a row as a list in the order of the inputs."""
    columns = [value(item, nulls=model.nulls) for item in model.card.inputs]
    return {"type": "array", "prefixItems": columns, "items": False, "minItems": len(columns), "maxItems": len(columns)}


def value(item: Input, *, nulls: bool = False) -> Schema:
    """Return the schema of an input's value, which may be null if it is optional, or with `nulls`."""
    schema = _type(item)
    if item.optional or nulls:
        types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        schema["type"] = [*types, *(["boolean"] if nulls and types in (["number"], ["integer"]) else []), "null"]
        if "enum" in schema:
            schema["enum"].append(None)
    return _described(schema, item.description)


def prediction(outputs: Sequence[ServedOutput]) -> Schema:
    """Return the schema of a prediction by output name."""
    return {
        "type": "object",
        "required": [item.name for item in outputs],
        "properties": {item.name: output(item) for item in outputs},
    }


def output(item: ServedOutput) -> Schema:
    """Return the schema of one row of an output: a value, or lists as deep as its shape."""
    schema = scalar(item)
    for size in reversed(item.shape):
        schema = {"type": "array", "minItems": size, "maxItems": size, "items": schema}
    return _described(schema, item.description)


def scalar(item: ServedOutput) -> Schema:
    """Return the schema of one value of an output."""
    if item.datatype == "BYTES":
        return {"type": "string", **({"enum": list(item.classes)} if item.classes else {})}
    if item.datatype in WHOLE:
        return {"type": "integer"}
    kind: Schema = {"type": ["number", "null"], "description": "NaN and infinity, which JSON does not have, are null."}
    return {**kind, "minimum": 0, "maximum": 1} if item.meaning == "probability" else kind


def _type(item: Input) -> Schema:
    if item.categories is not None:
        return _category(item, item.categories)
    if item.datatype == "BYTES":
        return {"type": "string"}
    if item.datatype == "BOOL":
        return {"type": "boolean"}
    least, most = range_of(item)
    if item.datatype in WHOLE:
        return {"type": "integer", "minimum": math.ceil(least), "maximum": math.floor(most)}
    end = math.inf if item.datatype == "FP64" else _FP32_END
    lower = ("minimum", least) if least > -end else ("exclusiveMinimum", -end)
    upper = ("maximum", most) if most < end else ("exclusiveMaximum", end)
    return {"type": "number", **{name: bound for name, bound in (lower, upper) if math.isfinite(bound)}}


def _category(item: Input, categories: Sequence[Category]) -> Schema:
    """Return the schema of categories, and of the strings for those that are numbers or booleans."""
    if item.datatype == "BYTES":
        return {"type": "string", "enum": list(categories)}
    kind = "boolean" if item.datatype == "BOOL" else "integer" if item.datatype in WHOLE else "number"
    strings = dict.fromkeys(spelling for category in categories for spelling in spellings_of(category))
    return {"type": [kind, "string"], "enum": [*categories, *strings]}


def _described(schema: Schema, description: str) -> Schema:
    return {**schema, "description": description} if description else schema
