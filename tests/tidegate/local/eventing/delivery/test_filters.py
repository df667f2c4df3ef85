from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventing.event import Event
from tidegate.local.eventing.delivery.filters import compile_filters
from tidegate.local.objects.eventing import TriggerSpec

REQUIRED = {"specversion": "1.0", "id": "1", "source": "/a", "type": "abc"}
NAMES = ("type", "source", "subject", "tier", "count", "urgent")
TEXT = st.sampled_from(["", "a", "b", "ab", "abc", "ba", "true", "12"])
ATTRIBUTES = st.dictionaries(st.sampled_from(NAMES), TEXT, max_size=3)
DIALECTS = st.sampled_from(["exact", "prefix", "suffix"])


def leaves() -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(lambda name, values: {name: values}, DIALECTS, ATTRIBUTES)


FILTERS = st.recursive(
    leaves(),
    lambda inner: st.one_of(
        st.builds(lambda parts: {"all": parts}, st.lists(inner, max_size=3)),
        st.builds(lambda parts: {"any": parts}, st.lists(inner, max_size=3)),
        st.builds(lambda part: {"not": part}, inner),
    ),
    max_leaves=8,
)
EVENTS = st.builds(
    lambda extensions, count, urgent: Event(
        {"specversion": "1.0", "id": "1", "source": "/a", "type": "abc", **extensions, **count, **urgent}
    ),
    st.dictionaries(st.sampled_from(["subject", "tier", "type"]), TEXT),
    st.dictionaries(st.just("count"), st.sampled_from([12, 1])),
    st.dictionaries(st.just("urgent"), st.booleans()),
)


def spec(**fields: Any) -> TriggerSpec:
    return TriggerSpec.model_validate({"broker": "b", "subscriber": {"uri": "http://s"}, **fields})


def text(value: object) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def holds(item: dict[str, Any], event: Event) -> bool:
    """The definition of a filter, word by word."""
    ((dialect, value),) = item.items()
    if dialect == "not":
        return not holds(value, event)
    if dialect in ("all", "any"):
        results = [holds(part, event) for part in value]
        return not results or (all(results) if dialect == "all" else any(results))
    for name, wanted in value.items():
        if wanted == "":
            continue
        if name not in event.attributes:
            return False
        found = text(event.attributes[name])
        passes = {"exact": found == wanted, "prefix": found[: len(wanted)] == wanted, "suffix": found[-len(wanted) :] == wanted}
        if not passes[dialect]:
            return False
    return True


@given(st.lists(FILTERS, min_size=1, max_size=3), EVENTS)
def test_filters_agree_with_their_definition(filters: list[dict[str, Any]], event: Event) -> None:
    assert compile_filters(spec(filters=filters))(event) == all(holds(item, event) for item in filters)


@given(ATTRIBUTES, EVENTS)
def test_attributes_of_a_filter_are_compared_exactly(attributes: dict[str, str], event: Event) -> None:
    assert compile_filters(spec(filter={"attributes": attributes}))(event) == holds({"exact": attributes}, event)


@pytest.mark.parametrize("fields", [{}, {"filter": {}}, {"filters": []}, {"filters": [{}]}], ids=str)
@given(event=EVENTS)
def test_trigger_without_a_filter_gets_every_event(fields: dict[str, Any], event: Event) -> None:
    assert compile_filters(spec(**fields))(event)


@given(EVENTS)
def test_filters_replace_the_attributes_of_filter(event: Event) -> None:
    both = spec(filter={"attributes": {"type": "no event has this"}}, filters=[{"prefix": {"source": "/"}}])

    assert compile_filters(both)(event)
