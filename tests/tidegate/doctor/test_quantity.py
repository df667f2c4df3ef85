from __future__ import annotations

from decimal import Decimal

import pytest

from tidegate.doctor import quantity


@pytest.mark.parametrize(
    ("written", "value"), [("100m", "0.1"), ("2", "2"), ("1Gi", 1024**3), ("500M", 500_000_000), ("1e3", 1000), (1.5, "1.5"), ("x", 0)]
)
def test_quantities_are_parsed_as_by_kubernetes(written: object, value: str | int) -> None:
    assert quantity.parse(written) == Decimal(value)
