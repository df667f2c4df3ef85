"""The operations that accept CloudEvents, in the three modes of the CloudEvents HTTP Binding 1.0.2."""

from __future__ import annotations

from eventing.codecs.json import BATCH_MEDIA_TYPE, MEDIA_TYPE
from eventing.types import INFERENCE_COMPLETED, INFERENCE_FAILED
from functions.runtime.documentation import examples
from functions.runtime.documentation.building_blocks import CALL_ERRORS, JSON, Json, array, body, errors, post, ref
from functions.runtime.documentation.model_spec import ModelSpec

_TEXT: Json = {"type": "string", "minLength": 1}
# Integers are limited to 64 bits: a JSON parser turns larger ones into floats.
_ANY_ATTRIBUTE: Json = {"type": ["string", "integer", "boolean", "null"], "minimum": -(2**63), "maximum": 2**64 - 1}
_JSON_TYPE: Json = {"type": ["string", "null"], "pattern": r"^[^;]*[/+][Jj][Ss][Oo][Nn] *(;.*)?$"}
_KEPT = "Returned in the response."
_NOTE = (
    "An event in any of the three modes of the CloudEvents HTTP binding; `application/json` with `ce-` headers is the binary mode. Its data"
    " is a row by input name, whose other fields are ignored, or a V1 or V2 request; a structured event may have it in `data_base64`."
    " The response has the mode of the request. A batch is answered by one event for each of its events, in order; a failed one by"
    f" `{INFERENCE_FAILED}` with a problem (RFC 9457)."
)
# The headers of the binary mode. The other modes do not have them, so none can be required.
_HEADERS = {
    "specversion": "Always 1.0.",
    "id": "Identifies the event within its source.",
    "source": "The origin of the event.",
    "type": "The kind of event.",
    "subject": _KEPT,
    "partitionkey": _KEPT,
}


def operation(model: ModelSpec, component: str, path: str) -> Json:
    """Return the POST operation for events to a model."""
    data, reply = ref("schemas", f"{component}.EventRequest"), ref("schemas", f"{component}.EventResponse")
    replies = {
        JSON: {"schema": reply},
        MEDIA_TYPE: {"schema": _reply(reply, INFERENCE_COMPLETED)},
        BATCH_MEDIA_TYPE: {
            "schema": array({"anyOf": [_reply(reply, INFERENCE_COMPLETED), _reply(ref("schemas", "Problem"), INFERENCE_FAILED)]})
        },
    }
    done = {"200": {"description": "The reply, in the mode of the request.", "content": replies}}
    return post(
        f"events.{component}" if path != "/" else "events",
        model.card.name,
        "Answer CloudEvents",
        body(_content(model, data)),
        {**done, **errors(*CALL_ERRORS, 422, kind="Problem")},
        description=_NOTE,
        parameters=[_header(name, text, examples.event(model.card)) for name, text in _HEADERS.items()],
    )


def _content(model: ModelSpec, data: Json) -> Json:
    event = examples.event(model.card)
    return {
        MEDIA_TYPE: {"schema": _event(data), "example": event},
        BATCH_MEDIA_TYPE: {"schema": array(_event()), "example": [event]},
        JSON: {"schema": data, "example": event["data"]},
    }


def _header(name: str, description: str, event: Json) -> Json:
    example = {"example": event[name]} if name in event else {}
    return {"name": f"ce-{name}", "in": "header", "description": description, "schema": {"type": "string"}, **example}


def _event(data: Json | None = None) -> Json:
    """Return the schema of a structured event.

    Attribute names have lower-case letters and digits; null is the same as absent (JSON Event Format 1.0.2). Without
    `data` it is the schema of an event in a batch, where an event with invalid data is answered, not refused.
    """
    content = {"datacontenttype": _JSON_TYPE, "data": data} if data else {"data": {"description": "As in a single event."}}
    return {
        "type": "object",
        "required": ["specversion", "id", "source", "type", *(["data"] if data else [])],
        "properties": {
            "specversion": {"const": "1.0"},
            "id": _TEXT,
            "source": _TEXT,
            "type": _TEXT,
            "subject": {**_ANY_ATTRIBUTE, "description": _KEPT},
            "partitionkey": {**_ANY_ATTRIBUTE, "description": _KEPT},
            **content,
        },
        "propertyNames": {"pattern": "^[a-z0-9]+$"},
        "additionalProperties": _ANY_ATTRIBUTE,
    }


def _reply(data: Json, type_: str) -> Json:
    return {
        "type": "object",
        "required": ["specversion", "id", "source", "type", "causationid", "data"],
        "properties": {
            "specversion": {"const": "1.0"},
            "id": _TEXT,
            "source": _TEXT,
            "type": {"const": type_},
            "causationid": {**_TEXT, "description": "The id of the request event."},
            "data": data,
        },
    }
