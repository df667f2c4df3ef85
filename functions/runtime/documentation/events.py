"""The operations that take CloudEvents, in each of the three modes (CloudEvents HTTP Binding 1.0.2)."""

from __future__ import annotations

from eventing.codecs.json import BATCH_MEDIA_TYPE, MEDIA_TYPE
from eventing.reply import COMPLETED, FAILED
from functions.runtime.documentation import examples
from functions.runtime.documentation.described import Described
from functions.runtime.documentation.operations import CALL_ERRORS, JSON, Json, answer, array, body, errors, post, ref

_TEXT: Json = {"type": "string", "minLength": 1}
_ANY_ATTRIBUTE: Json = {"type": ["string", "integer", "boolean", "null"]}
_JSON_TYPE: Json = {"type": ["string", "null"], "pattern": r"^[^;]*[/+][Jj][Ss][Oo][Nn] *(;.*)?$"}
_KEPT = "Comes back with the answer."
_NOTE = (
    "An event in any of the three modes of the CloudEvents HTTP binding: `application/json` with `ce-` headers is a binary one. Its data is"
    " a row by input name, whose other fields are ignored, or a V1 or V2 request; a structured event may have them in `data_base64`."
    " The answer comes in the mode of the request. In a batch each event is answered by its own, in their order, a failed one by"
    f" `{FAILED}` with a problem (RFC 9457)."
)
_HEADERS = {
    "ce-specversion": ("1.0", "With a binary event: always 1.0."),
    "ce-id": ("1", "With a binary event: its id."),
    "ce-source": ("/docs", "With a binary event: where it comes from."),
    "ce-type": ("", "With a binary event: what it tells."),
    "ce-subject": (None, _KEPT),
    "ce-partitionkey": (None, _KEPT),
}


def operation(model: Described, component: str, path: str) -> Json:
    """POST of events to one model."""
    data, reply = ref("schemas", f"{component}.EventRequest"), ref("schemas", f"{component}.EventResponse")
    replies = {
        JSON: {"schema": reply},
        MEDIA_TYPE: {"schema": _reply(reply, COMPLETED)},
        BATCH_MEDIA_TYPE: {"schema": array({"anyOf": [_reply(reply, COMPLETED), _reply(ref("schemas", "Problem"), FAILED)]})},
    }
    done = answer({}, "Answered.") | {"200": {"description": "The answer, in the mode of the request.", "content": replies}}
    return post(
        f"events.{component}" if path != "/" else "events",
        model.card.name,
        "Answer CloudEvents",
        body(_content(model, data)),
        {**done, **errors(*CALL_ERRORS, 422, kind="Problem")},
        description=_NOTE,
        parameters=[_header(name, example or f"{model.card.name}.requested", text) for name, (example, text) in _HEADERS.items()],
    )


def _content(model: Described, data: Json) -> Json:
    event = examples.event(model.card)
    return {
        MEDIA_TYPE: {"schema": _event(data), "example": event},
        BATCH_MEDIA_TYPE: {"schema": array(_event(data)), "example": [event]},
        JSON: {"schema": data, "example": event["data"]},
    }


def _header(name: str, example: str | None, description: str) -> Json:
    return {
        "name": name,
        "in": "header",
        "description": description,
        "schema": {"type": "string"},
        **({"example": example} if example else {}),
    }


def _event(data: Json) -> Json:
    """A structured event. Attributes have names of lower-case letters and digits; null is as good as absent (JSON Event Format 1.0.2)."""
    return {
        "type": "object",
        "required": ["specversion", "id", "source", "type", "data"],
        "properties": {
            "specversion": {"const": "1.0"},
            "id": _TEXT,
            "source": _TEXT,
            "type": _TEXT,
            "datacontenttype": _JSON_TYPE,
            "subject": {**_ANY_ATTRIBUTE, "description": _KEPT},
            "partitionkey": {**_ANY_ATTRIBUTE, "description": _KEPT},
            "data": data,
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
            "causationid": {**_TEXT, "description": "The id of the event that this one answers."},
            "data": data,
        },
    }
