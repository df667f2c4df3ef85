"""Rules for the filters of a Trigger, in the wording of Knative's webhook."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from tidegate.local.objects.eventing import EventFilter, TriggerSpec
from tidegate.local.objects.validation import InvalidObject, Stage, webhook_error

_ATTRIBUTE = re.compile(r"[a-z][a-z0-9]*")
# Deeper filters are a mistake, and evaluation is recursive.
_DEEPEST = 32
_SEVERAL = "multiple dialects found, filters can have only one dialect set"


def check(spec: TriggerSpec, path: str = "spec") -> None:
    """Check the filters of a Trigger. Raises InvalidObject with the path of the first invalid part."""
    if spec.filter is not None:
        _check_names(spec.filter.attributes, f"{path}.filter.attributes")
    check_filters(spec.filters, f"{path}.filters")


def check_filters(filters: Sequence[EventFilter], path: str, depth: int = 0) -> None:
    """Check a list of filters. Raises InvalidObject with the path of the first invalid part."""
    for index, item in enumerate(filters):
        _check(item, f"{path}[{index}]", depth)


def _check(item: EventFilter, path: str, depth: int) -> None:
    if depth >= _DEEPEST:
        raise InvalidObject(Stage.SCHEMA, path, f"is nested more than {_DEEPEST} levels deep", remedy="write fewer levels")
    if item.cesql:
        problem = "is an expression in CloudEvents SQL, which tidegate up does not evaluate"
        raise InvalidObject(Stage.SCHEMA, f"{path}.cesql", problem, remedy="write it with exact, prefix, suffix, all, any and not")
    dialects = (item.exact, item.prefix, item.suffix, item.all, item.any, item.not_)
    if sum(map(bool, dialects)) > 1:
        raise webhook_error(path, _SEVERAL)
    for name, attributes in (("exact", item.exact), ("prefix", item.prefix), ("suffix", item.suffix)):
        _check_names(attributes, f"{path}.{name}")
    check_filters(item.all, f"{path}.all", depth + 1)
    check_filters(item.any, f"{path}.any", depth + 1)
    if item.not_ is not None:
        _check(item.not_, f"{path}.not", depth + 1)


def _check_names(names: Iterable[str], path: str) -> None:
    for name in names:
        if not _ATTRIBUTE.fullmatch(name):
            details = "Attribute name must start with a letter and can only contain lowercase alphanumeric"
            raise webhook_error(f"{path}[{name}]", f'invalid key name "{name}"', details)
