"""The building blocks of OpenAPI operations: bodies, responses and errors."""

from __future__ import annotations

from typing import Any

from eventing.reply import PROBLEM_MEDIA_TYPE
from functions.runtime.documentation.schemas import PROBLEM

Json = dict[str, Any]
JSON = "application/json"
_ERRORS = {
    400: "The request is invalid; the message names the fault and the remedy.",
    404: "The model, or this version of it, was not found.",
    413: "The request has too many bytes or rows.",
    415: "The content type or the content encoding is unsupported.",
    422: "The model was not found. For events the status is 422, since senders retry a 404.",
    429: "The queue is full; retry later.",
    500: "An internal error, with a reference to the function's log.",
    503: "The model is not ready.",
    504: "The request timed out.",
}
_ERROR: Json = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string", "description": "One sentence."}}}
_RETRY_AFTER: Json = {
    "Retry-After": {"description": "Seconds to wait.", "required": True, "schema": {"type": "string", "pattern": "^[0-9]+$"}}
}
# The errors of every call with a body.
CALL_ERRORS = (400, 413, 415, 429, 500, 503, 504)


def components() -> Json:
    """Return the components of all operations: their errors, as an object and as a problem."""
    schemas = {"Error": _ERROR, "Problem": PROBLEM}
    responses = {}
    for kind, media_type in (("Error", JSON), ("Problem", PROBLEM_MEDIA_TYPE)):
        for status, description in _ERRORS.items():
            content = {media_type: {"schema": ref("schemas", kind)}}
            headers = {"headers": _RETRY_AFTER} if status == 429 else {}
            responses[f"{kind}{status}"] = {"description": description, **headers, "content": content}
    return {"schemas": schemas, "responses": responses}


def ref(kind: str, name: str) -> Json:
    """Return a reference to a component."""
    return {"$ref": f"#/components/{kind}/{name}"}


def errors(*statuses: int, kind: str = "Error") -> Json:
    """Return the error responses of these statuses."""
    return {str(status): ref("responses", f"{kind}{status}") for status in statuses}


def answer(schema: Json, description: str = "Success.", media_type: str = JSON) -> Json:
    """Return the response of a success."""
    return {"200": {"description": description, "content": {media_type: {"schema": schema}}}}


def get(identifier: str, tag: str, summary: str, responses: Json) -> Json:
    """Return a GET operation."""
    return {"get": {"operationId": identifier, "tags": [tag], "summary": summary, "responses": responses}}


def post(identifier: str, tag: str, summary: str, body: Json | None, responses: Json, **more: Any) -> Json:
    """Return a POST operation."""
    request = {} if body is None else {"requestBody": body}
    return {"post": {"operationId": identifier, "tags": [tag], "summary": summary, **more, **request, "responses": responses}}


def body(content: Json, *, required: bool = True) -> Json:
    """Return a request body."""
    return {"required": required, "content": content}


def an_object(*required: str, **properties: Json) -> Json:
    """Return the schema of an object with these properties."""
    return {"type": "object", "required": list(required), "properties": properties}


def array(items: Json) -> Json:
    """Return the schema of an array."""
    return {"type": "array", "items": items}
