"""What neither OpenAPI nor JSON Schema can say of an event: schemathesis loads this."""

from __future__ import annotations

from typing import Any

import schemathesis
from schemathesis import Case, GenerationMode, HookContext

_EVENT_PATHS = ("/", "/models/loans")
_BINARY_EVENT = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/test", "ce-type": "loans.requested"}


@schemathesis.hook
def map_case(context: HookContext, case: Case[Any]) -> Case[Any]:
    """These headers are required with this content type alone."""
    if case.path in _EVENT_PATHS and case.media_type == "application/json":
        case.headers.update(_BINARY_EVENT)
    return case


@schemathesis.hook
def filter_case(context: HookContext, case: Case[Any]) -> bool:
    """Drops what its schema allows and the function rightly refuses."""
    if case.path not in _EVENT_PATHS or case.method != "POST" or case.meta is None or case.meta.generation.mode != GenerationMode.POSITIVE:
        return True
    body: Any = case.body
    if case.media_type == "application/json":
        return not _has_tensors(body)
    if case.media_type == "application/cloudevents+json":
        return not _has_tensors(body["data"]) and not _has_float(body)
    return not any(map(_has_float, body))


def _has_tensors(data: Any) -> bool:
    """A tensor has as many values as its shape means; one that is made by the schema alone has any number."""
    return isinstance(data, dict) and "inputs" in data


def _has_float(event: dict[str, Any]) -> bool:
    """To JSON Schema 1.0 is an integer; to the JSON Event Format (section 2.2) it is none."""
    return any(isinstance(value, float) for name, value in event.items() if name != "data")
