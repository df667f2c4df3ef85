"""Label and field selectors of the Kubernetes API."""

from __future__ import annotations

import re
from collections.abc import Callable

from tidegate.local.apiserver.status_error import StatusError
from tidegate.local.objects.validation import Object

Predicate = Callable[[Object], bool]
_SET = re.compile(r"([\w./-]+)\s+(in|notin)\s+\(([^)]*)\)")
_EQUAL = re.compile(r"([\w./-]+)\s*(!=|==|=)\s*([\w.-]*)")
_EXISTS = re.compile(r"(!?)\s*([\w./-]+)")
_COMMA_OUTSIDE_PARENTHESES = re.compile(r",(?![^(]*\))")


def predicate(labels: str | None, fields: str | None) -> Predicate:
    """A test of objects by a label and a field selector. Raises StatusError 400 for an invalid one."""
    tests = [_label(text.strip()) for text in _COMMA_OUTSIDE_PARENTHESES.split(labels or "") if text.strip()]
    tests += [_field(text.strip()) for text in (fields or "").split(",") if text.strip()]
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


def _field(text: str) -> Predicate:
    match = _EQUAL.fullmatch(text)
    if not match or match[1] not in ("metadata.name", "metadata.namespace"):
        raise StatusError.bad_request(f"field label not supported: {text}")
    name, negated, value = match[1].removeprefix("metadata."), match[2] == "!=", match[3]
    return lambda item: (item["metadata"].get(name) == value) != negated


def _labels(item: Object) -> dict[str, str]:
    labels: dict[str, str] = item["metadata"].get("labels") or {}
    return labels
