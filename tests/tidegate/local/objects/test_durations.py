from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.local.objects import durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("PT0.5S", 0.5), ("PT0,5S", 0.5), ("PT1M", 60.0), ("PT1H30M", 5400.0), ("P1D", 86_400.0), ("P1W", 604_800.0), ("P1DT1S", 86_401.0)],
)
def test_duration_is_read(text: str, seconds: float) -> None:
    assert durations.seconds(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "P", "PT", "1s", "PT-1S", "-PT1S", "PTS", "pt1s", "PT1S ", "PT1S\n", "P1S", "PT१S", "PT" + "1" * 99 + "S"]
)
def test_other_text_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match=r"no duration of ISO 8601, such as PT0\.5S"):
        durations.seconds(text)


@given(hours=st.integers(0, 999), minutes=st.integers(0, 999), seconds=st.integers(0, 999))
def test_components_add_up(hours: int, minutes: int, seconds: int) -> None:
    assert durations.seconds(f"PT{hours}H{minutes}M{seconds}S") == hours * 3600 + minutes * 60 + seconds
