"""Label and field selectors of the Kubernetes API."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from tidegate.local.apiserver.status_error import StatusError
from tidegate.local.objects.kinds import EVENTS
from tidegate.local.objects.validation import Object

Predicate = Callable[[Object], bool]
_SET = re.compile(r"([\w./-]+)\s+(in|notin)\s+\(([^)]*)\)")
_EQUAL = re.compile(r"([\w./-]+)\s*(!=|==|=)\s*([\w./-]*)")
_FIELDS = frozenset({"metadata.name", "metadata.namespace"})
_FIELDS_OF_EVENTS = _FIELDS | {
    *(f"involvedObject.{name}" for name in ("apiVersion", "fieldPath", "kind", "name", "namespace", "resourceVersion", "uid")),
    *("reason", "reportingComponent", "source", "type"),
}
_EXISTS = re.compile(r"(!?)\s*([\w./-]+)")
_COMMA_OUTSIDE_PARENTHESES = re.compile(r",(?![^(]*\))")


def predicate(labels: str | None, fields: str | None, plural: str = "") -> Predicate:
    """A test of objects by a label and a field selector. Raises StatusError 400 for an invalid one.

    Objects of each kind are selected by name and namespace, and Events also by what they are about.
    """
    known = _FIELDS_OF_EVENTS if plural == EVENTS else _FIELDS
    tests = [_label(text.strip()) for text in _COMMA_OUTSIDE_PARENTHESES.split(labels or "") if text.strip()]
    tests += [_field(text.strip(), known) for text in (fields or "").split(",") if text.strip()]
    return lambda item: all(test(item) for test in tests)


def _label(text: str) -> Predicate:
    if match := _SET.fullmatch(text):
        values = {value.strip() for value in match[3].split(",")}
        return _has(match[1], values, negated=match[2] == "notin")
    if match := _EQUAL.fullmatch(text):
        return _has(match[1], {match[3]}, negated=match[2] == "!=")
    if match := _EXISTS.fullmatch(text):
        name, absent = match[2], bool(match[1])
        return lambda item: (name in _labels(item)) != absent
    raise StatusError.bad_request(f"unable to parse requirement: {text!r} is not a label selector")


def _has(name: str, values: set[str], *, negated: bool) -> Predicate:
    # An absent label satisfies `!=` and `notin`, as in Kubernetes.
    return lambda item: (_labels(item).get(name) in values) != negated


def _field(text: str, known: frozenset[str]) -> Predicate:
    match = _EQUAL.fullmatch(text)
    if not match or match[1] not in known:
        raise StatusError.bad_request(f"field label not supported: {text}")
    path, negated, value = match[1].split("."), match[2] == "!=", match[3]
    if path == ["source"]:
        path = ["source", "component"]
    return lambda item: (_value(item, path) == value) != negated


def _value(item: Object, path: list[str]) -> str:
    """The string at a path; an empty one where nothing is, as in Kubernetes."""
    value: Any = item
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value or ""


def _labels(item: Object) -> dict[str, str]:
    labels: dict[str, str] = item["metadata"].get("labels") or {}
    return labels
