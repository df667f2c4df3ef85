"""The parts that OpenAPI operations are put together from: bodies, answers, errors."""

from __future__ import annotations

from typing import Any

from eventing.reply import PROBLEM_MEDIA_TYPE
from functions.runtime.documentation.schemas import PROBLEM

Json = dict[str, Any]
JSON = "application/json"
_ERRORS = {
    400: "The request is not what the model asks for; the sentence says what to mend.",
    404: "There is no such model, or no such version of it, here.",
    413: "The request has more bytes or rows than the function takes.",
    415: "The body has a content type or an encoding that is not understood.",
    422: "There is no such model here. An event is told so by 422, since a sender retries a 404.",
    429: "More requests wait than may; come again.",
    500: "A fault of the function, with an id that its log has too.",
    503: "The model is not ready.",
    504: "The answer did not come within the request's time.",
}
_ERROR: Json = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string", "description": "One sentence."}}}
_RETRY_AFTER: Json = {
    "Retry-After": {"description": "Seconds to wait.", "required": True, "schema": {"type": "string", "pattern": "^[0-9]+$"}}
}
# What any call with a body can come to, besides what is particular to it.
CALL_ERRORS = (400, 413, 415, 429, 500, 503, 504)


def components() -> Json:
    """The errors of all operations, as an object and as a problem."""
    schemas = {"Error": _ERROR, "Problem": PROBLEM}
    responses = {}
    for kind, media_type in (("Error", JSON), ("Problem", PROBLEM_MEDIA_TYPE)):
        for status, description in _ERRORS.items():
            content = {media_type: {"schema": ref("schemas", kind)}}
            headers = {"headers": _RETRY_AFTER} if status == 429 else {}
            responses[f"{kind}{status}"] = {"description": description, **headers, "content": content}
    return {"schemas": schemas, "responses": responses}


def ref(kind: str, name: str) -> Json:
    return {"$ref": f"#/components/{kind}/{name}"}


def errors(*statuses: int, kind: str = "Error") -> Json:
    return {str(status): ref("responses", f"{kind}{status}") for status in statuses}


def answer(schema: Json, description: str = "Done.", media_type: str = JSON) -> Json:
    return {"200": {"description": description, "content": {media_type: {"schema": schema}}}}


def get(identifier: str, tag: str, summary: str, responses: Json) -> Json:
    return {"get": {"operationId": identifier, "tags": [tag], "summary": summary, "responses": responses}}


def post(identifier: str, tag: str, summary: str, body: Json | None, responses: Json, **more: Any) -> Json:
    request = {} if body is None else {"requestBody": body}
    return {"post": {"operationId": identifier, "tags": [tag], "summary": summary, **more, **request, "responses": responses}}


def body(content: Json, *, required: bool = True) -> Json:
    return {"required": required, "content": content}


def an_object(*required: str, **properties: Json) -> Json:
    """The schema of an object whose keys are `properties`, of which `required` are always there."""
    return {"type": "object", "required": list(required), "properties": properties}


def array(items: Json) -> Json:
    return {"type": "array", "items": items}
