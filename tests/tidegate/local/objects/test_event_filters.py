from __future__ import annotations

from typing import Any

import pytest

from tidegate.local.objects import event_filters
from tidegate.local.objects.eventing import TriggerSpec
from tidegate.local.objects.validation import InvalidObject


def spec(**fields: Any) -> TriggerSpec:
    return TriggerSpec.model_validate({"broker": "b", "subscriber": {"uri": "http://s"}, **fields})


def nested(depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {"exact": {"type": "t"}}
    for _ in range(depth):
        found = {"not": found}
    return found


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            {"filters": [{"exact": {"type": "t"}}, {"any": [{"cesql": "type = 't'"}]}]},
            "spec.filters[1].any[0].cesql is an expression in CloudEvents SQL, which tidegate up does not evaluate; "
            "write it with exact, prefix, suffix, all, any and not.",
        ),
        (
            {"filters": [{"exact": {"type": "t"}, "prefix": {"type": "t"}}]},
            "multiple dialects found, filters can have only one dialect set: spec.filters[0].",
        ),
        (
            {"filters": [{"not": {"suffix": {"dataVersion": "1"}}}]},
            'invalid key name "dataVersion": spec.filters[0].not.suffix[dataVersion] '
            "(Attribute name must start with a letter and can only contain lowercase alphanumeric).",
        ),
        (
            {"filter": {"attributes": {"1st": ""}}},
            'invalid key name "1st": spec.filter.attributes[1st] '
            "(Attribute name must start with a letter and can only contain lowercase alphanumeric).",
        ),
        (
            {"filters": [nested(40)]},
            f"spec.filters[0]{'.not' * 32} is nested more than 32 levels deep; write fewer levels.",
        ),
    ],
    ids=["cesql", "dialects", "name-in-filters", "name-in-filter", "depth"],
)
def test_invalid_filter_is_refused_with_its_position(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidObject) as raised:
        event_filters.check(spec(**fields))

    assert str(raised.value) == sentence


@pytest.mark.parametrize("fields", [{}, {"filters": [{}]}, {"filters": [nested(30)]}, {"filter": {"attributes": {"type": ""}}}], ids=str)
def test_valid_filter_is_accepted(fields: dict[str, Any]) -> None:
    event_filters.check(spec(**fields))
