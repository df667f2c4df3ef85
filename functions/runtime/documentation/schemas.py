"""JSON Schemas (draft 2020-12) of the data of a model's events."""

from __future__ import annotations

from eventing.types import INFERENCE_COMPLETED, INFERENCE_FAILED
from functions.runtime.documentation import examples
from functions.runtime.documentation.bodies import v1_request, v1_response, v2_request, v2_response
from functions.runtime.documentation.model_spec import ModelSpec
from functions.runtime.documentation.records import Schema, prediction, record

DIALECT = "https://json-schema.org/draft/2020-12/schema"
PROBLEM: Schema = {
    "type": "object",
    "description": "A problem (RFC 9457).",
    "required": ["title", "status", "detail"],
    "properties": {
        "title": {"type": "string", "description": "The kind of error."},
        "status": {"type": "integer", "description": "The HTTP status of the error."},
        "detail": {"type": "string", "description": "A sentence for a person."},
    },
}


def documents(model: ModelSpec, folder: str) -> dict[str, Schema]:
    """Return the schemas of a model's request, response and failure events, by path in `folder`."""
    titled = {
        "request": (f"Data of an event to the model {model.title}", request(model)),
        "response": (f"Data of {INFERENCE_COMPLETED} from the model {model.title}", response(model)),
        "problem": (f"Data of {INFERENCE_FAILED} from the model {model.title}", PROBLEM),
    }
    return {
        f"{folder}/{kind}.json": {"$schema": DIALECT, "$id": f"{folder}/{kind}.json", "title": title, **schema}
        for kind, (title, schema) in titled.items()
    }


def request(model: ModelSpec) -> Schema:
    """Return the schema of a request: a row, which may have other fields, or a request of V2 or V1."""
    return {"anyOf": [record(model), v2_request(model), v1_request(model)], "examples": [examples.record(model.card)]}


def response(model: ModelSpec) -> Schema:
    """Return the schema of a response, which has the format of the request."""
    return {"anyOf": [prediction(model.outputs.default), v2_response(model), v1_response(model)]}
