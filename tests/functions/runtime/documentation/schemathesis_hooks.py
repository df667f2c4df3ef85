"""Hooks for schemathesis: the rules of events that neither OpenAPI nor JSON Schema can express."""

from __future__ import annotations

from typing import Any

import schemathesis
from schemathesis import Case, GenerationMode, HookContext

_EVENT_PATHS = ("/", "/models/loans")
_BINARY_EVENT = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/test", "ce-type": "loans.requested"}


@schemathesis.hook
def map_case(context: HookContext, case: Case[Any]) -> Case[Any]:
    """Set the headers that are required with this content type only."""
    if case.path in _EVENT_PATHS and case.media_type == "application/json":
        case.headers.update(_BINARY_EVENT)
    return case


@schemathesis.hook
def filter_case(context: HookContext, case: Case[Any]) -> bool:
    """Drop cases that the schema allows and the function correctly refuses."""
    if case.path not in _EVENT_PATHS or case.method != "POST" or case.meta is None or case.meta.generation.mode != GenerationMode.POSITIVE:
        return True
    body: Any = case.body
    if case.media_type == "application/json":
        return not _has_tensors(body)
    if case.media_type == "application/cloudevents+json":
        return not _has_tensors(body["data"]) and not _has_float(body)
    return not any(map(_has_float, body))


def _has_tensors(data: Any) -> bool:
    """Return whether the data has tensors: by the schema alone their data does not match their shape."""
    return isinstance(data, dict) and "inputs" in data


def _has_float(event: dict[str, Any]) -> bool:
    """Return whether an attribute is 1.0: an integer in JSON Schema, but not in the JSON Event Format (2.2)."""
    return any(isinstance(value, float) for name, value in event.items() if name != "data")
