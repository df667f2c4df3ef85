"""JSON Schemas (draft 2020-12) of a model's request and response bodies in V1 and V2."""

from __future__ import annotations

from functions.runtime.contract.card import Card
from functions.runtime.contract.datatypes import DATATYPES
from functions.runtime.contract.outputs import ServedOutput
from functions.runtime.documentation.model_spec import ModelSpec
from functions.runtime.documentation.records import Schema, output, positional, prediction, record, scalar

# The content types of MLServer's clients; here a tensor is decoded by the card's inputs whatever its content type.
_CONTENT_TYPE: Schema = {"enum": ["np", "pd", "str", None]}
_FLAG: Schema = {"type": "boolean"}


def v1_request(model: ModelSpec) -> Schema:
    return {
        "type": "object",
        "required": ["instances"],
        "properties": {
            "instances": {
                "description": "Rows: either all objects by input name, or all lists in the order of the inputs.",
                "anyOf": [
                    {"type": "array", "minItems": 1, "items": record(model, strict=True)},
                    {"type": "array", "minItems": 1, "items": positional(model)},
                ],
            }
        },
    }


def v1_response(model: ModelSpec) -> Schema:
    default = model.outputs.default
    row = output(default[0]) if len(default) == 1 else prediction(default)
    return {
        "type": "object",
        "required": ["predictions"],
        "properties": {"predictions": {"type": "array", "description": "One for each row, in order.", "items": row}},
    }


def v2_request(model: ModelSpec) -> Schema:
    return {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": ["string", "null"], "description": "Returned in the response."},
            "parameters": _own_parameters(binary_data_output=_FLAG, content_type=_CONTENT_TYPE),
            "inputs": {
                "type": "array",
                "minItems": 1,
                "description": "One tensor for each input, by name, or one [rows, inputs] tensor of any other name.",
                "items": _input_tensor(model.card),
            },
            "outputs": {
                "type": ["array", "null"],
                "description": "The requested outputs; by default those of the card.",
                "items": _requested_output(model),
            },
        },
    }


def v2_response(model: ModelSpec) -> Schema:
    version = {"model_version": {"const": model.card.version}} if model.card.version else {}
    return {
        "type": "object",
        "required": ["model_name", *version, "outputs"],
        "properties": {
            "model_name": {"const": model.card.name},
            **version,
            "id": {"type": "string"},
            "parameters": _parameters(),
            "outputs": {"type": "array", "items": {"anyOf": [_output_tensor(item) for item in model.outputs.all]}},
        },
    }


def _input_tensor(card: Card) -> Schema:
    return {
        "type": "object",
        "required": ["name", "shape", "datatype", "data"],
        "properties": {
            "name": {"anyOf": [{"enum": [item.name for item in card.inputs]}, {"type": "string", "minLength": 1}]},
            "shape": {"type": "array", "minItems": 1, "items": {"type": "integer", "minimum": 0}, "description": "Rows first."},
            "datatype": {"enum": list(DATATYPES)},
            "parameters": _own_parameters(binary_data_size={"type": "integer", "minimum": 0}, content_type=_CONTENT_TYPE),
            "data": {
                "type": "array",
                "items": {"type": ["number", "string", "boolean", "null", "array"]},
                "description": "Row by row, flat or nested; as many values as in the shape.",
            },
        },
    }


def _requested_output(model: ModelSpec) -> Schema:
    names = [item.name for item in model.outputs.all]
    return {
        "type": "object",
        "required": ["name"],
        "properties": {"name": {"enum": names}, "parameters": _own_parameters(binary_data=_FLAG)},
    }


def _output_tensor(item: ServedOutput) -> Schema:
    axes = 1 + len(item.shape)
    return {
        "type": "object",
        "required": ["name", "datatype", "shape", "data"],
        "properties": {
            "name": {"const": item.name},
            "datatype": {"const": item.datatype},
            "shape": {"type": "array", "items": {"type": "integer"}, "minItems": axes, "maxItems": axes},
            "parameters": _parameters(),
            "data": {"type": "array", "items": scalar(item)},
        },
    }


def _parameters() -> Schema:
    return {"type": "object"}


def _own_parameters(**known: Schema) -> Schema:
    """Return the schema of parameters with these among others. Some clients send null instead of leaving them out."""
    return {"type": ["object", "null"], "properties": known}
