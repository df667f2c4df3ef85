from __future__ import annotations

from typing import Any

import pytest

from functions.runtime.knative.objects import TrafficTarget, condition, traffic_targets

READY = {"type": "Ready", "status": "True"}


def test_condition_is_found_by_its_type() -> None:
    assert condition({"status": {"conditions": [{"type": "Active", "status": "False"}, READY]}}, "Ready") == READY


@pytest.mark.parametrize("item", [{}, {"status": None}, {"status": {}}, {"status": {"conditions": None}}, {"status": {"conditions": []}}])
def test_condition_that_is_not_reported_is_none(item: dict[str, Any]) -> None:
    assert condition(item, "Ready") is None


def test_traffic_targets_are_read_in_order() -> None:
    traffic: list[dict[str, Any]] = [
        {"revisionName": "m-1", "percent": 90},
        {"revisionName": "m-1", "tag": "stable"},
        {"latestRevision": True, "percent": 10},
    ]
    assert traffic_targets(traffic, "m-2") == [
        TrafficTarget(revision="m-1", percent=90, tag=None),
        TrafficTarget(revision="m-1", percent=0, tag="stable"),
        TrafficTarget(revision="m-2", percent=10, tag=None),
    ]


def test_target_without_a_revision_is_left_out() -> None:
    assert traffic_targets([{"latestRevision": True, "percent": 100}]) == []
    assert traffic_targets(None) == []
