from __future__ import annotations

from typing import Any

import pytest

from tidegate.local.objects.resources import LabelSelector
from tidegate.local.objects.validation import InvalidObject, parse

LABELS = {"app": "batch", "tier": ""}


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ({}, True),
        ({"matchLabels": {"app": "batch"}}, True),
        ({"matchLabels": {"app": "other"}}, False),
        ({"matchLabels": {"app": "batch", "zone": "a"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["x", "batch"]}]}, True),
        ({"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}, False),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["batch"]}]}, False),
        ({"matchExpressions": [{"key": "zone", "operator": "NotIn", "values": ["a"]}]}, True),
        ({"matchExpressions": [{"key": "tier", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}, False),
        ({"matchLabels": {"app": "batch"}, "matchExpressions": [{"key": "zone", "operator": "Exists"}]}, False),
    ],
)
def test_labels_match_when_every_requirement_holds(selector: dict[str, Any], expected: bool) -> None:
    assert parse(LabelSelector, selector).matches(LABELS) is expected


def test_an_unknown_operator_is_invalid() -> None:
    with pytest.raises(InvalidObject, match=r"matchExpressions\[0\].operator"):
        parse(LabelSelector, {"matchExpressions": [{"key": "app", "operator": "Like"}]})
