"""Filters of a Trigger, compiled to one predicate on events, as Knative's broker for Kafka evaluates them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from eventing.event import Event
from tidegate.local.objects.eventing import EventFilter, TriggerSpec

Filter = Callable[[Event], bool]
"""Whether an event passes."""

_Match = Callable[[str, str], bool]


def compile_filters(spec: TriggerSpec) -> Filter:
    """Return the filter of a Trigger whose filters are valid. `filters` replace `filter.attributes`; without both,
    every event passes.
    """
    if spec.filters:
        return _all([_compile(item) for item in spec.filters])
    return _attributes(spec.filter.attributes if spec.filter else {}, str.__eq__)


def _compile(item: EventFilter) -> Filter:
    """Compile one filter. One without a dialect passes every event."""
    if item.not_ is not None:
        inner = _compile(item.not_)
        return lambda event: not inner(event)
    if item.all:
        return _all([_compile(part) for part in item.all])
    if item.any:
        parts = [_compile(part) for part in item.any]
        return lambda event: any(part(event) for part in parts)
    dialects: tuple[tuple[Mapping[str, str], _Match], ...] = (
        (item.exact, str.__eq__),
        (item.prefix, str.startswith),
        (item.suffix, str.endswith),
    )
    attributes, match = next((dialect for dialect in dialects if dialect[0]), dialects[0])
    return _attributes(attributes, match)


def _all(parts: Sequence[Filter]) -> Filter:
    if len(parts) == 1:
        return parts[0]
    return lambda event: all(part(event) for part in parts)


def _attributes(wanted: Mapping[str, str], match: _Match) -> Filter:
    """Compare attributes in their canonical string form. An empty value passes every event, with the attribute or not."""
    pairs = [(name, value) for name, value in wanted.items() if value]

    def test(event: Event) -> bool:
        for name, value in pairs:
            found = event.get(name)
            if found is None or not match(found, value):
                return False
        return True

    return test
