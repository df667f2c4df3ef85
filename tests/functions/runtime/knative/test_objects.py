from __future__ import annotations

from typing import Any

import pytest

from functions.runtime.knative.objects import condition

READY = {"type": "Ready", "status": "True"}


def test_condition_is_found_by_its_type() -> None:
    assert condition({"status": {"conditions": [{"type": "Active", "status": "False"}, READY]}}, "Ready") == READY


@pytest.mark.parametrize("item", [{}, {"status": None}, {"status": {}}, {"status": {"conditions": None}}, {"status": {"conditions": []}}])
def test_condition_that_is_not_reported_is_none(item: dict[str, Any]) -> None:
    assert condition(item, "Ready") is None
