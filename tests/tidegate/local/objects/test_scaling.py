from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.local.objects.scaling import Scaling, duration_seconds, forbid_annotations, read
from tidegate.local.objects.validation import InvalidObject

PREFIX = "autoscaling.knative.dev/"


def reading(concurrency: int = 0, **annotations: str) -> Scaling:
    return read({PREFIX + name.replace("_", "-"): value for name, value in annotations.items()}, concurrency, "metadata.annotations")


def test_no_annotations_give_knatives_defaults() -> None:
    assert reading() == Scaling()


def test_supported_annotations_are_read() -> None:
    scaling = reading(
        target="10",
        target_utilization_percentage="50",
        min_scale="1",
        max_scale="4",
        window="10s",
        scale_to_zero_pod_retention_period="1m30s",
        scale_down_delay="5s",
    )
    assert scaling == Scaling(target=5.0, min_scale=1, max_scale=4, window=10.0, panic_window=1.0, retention=90.0, scale_down_delay=5.0)


def test_hard_limit_is_the_default_and_maximum_of_the_target() -> None:
    assert reading(concurrency=10).target == pytest.approx(7.0)
    assert reading(concurrency=10, target="100").target == pytest.approx(7.0)


def test_requests_per_second_have_their_own_default_target() -> None:
    assert reading(metric="rps").target == pytest.approx(140.0)


@pytest.mark.parametrize(
    ("annotation", "value", "message"),
    [
        ("window", "5s", "expected 6s <= 5s <= 3600s"),
        ("window", "soon", "want a duration such as 30s"),
        ("max-scale", "two", "want an integer"),
        ("min-scale", "-1", "expected 0 <= -1"),
        ("target", "0", "expected 0.01 <= 0"),
        ("target-utilization-percentage", "120", "expected 1 <= 120 <= 100"),
        ("activation-scale", "1", "expected 2 <= 1"),
        ("scale-down-delay", "2h", "expected 0s <= 2h <= 3600s"),
        ("metric", "cpu", "want concurrency or rps"),
        ("minscale", "1", "did you mean autoscaling.knative.dev/min-scale?"),
    ],
)
def test_invalid_annotation_is_refused_with_its_range(annotation: str, value: str, message: str) -> None:
    with pytest.raises(InvalidObject) as caught:
        read({PREFIX + annotation: value}, 0, "spec.template.metadata.annotations")
    assert message in str(caught.value)
    assert f"spec.template.metadata.annotations.{PREFIX}{annotation}" in str(caught.value)


def test_min_scale_above_max_scale_is_refused() -> None:
    with pytest.raises(InvalidObject, match="max-scale=1 is less than min-scale=2"):
        reading(min_scale="2", max_scale="1")


def test_annotation_on_the_service_itself_is_refused() -> None:
    with pytest.raises(InvalidObject, match=r"must be put under \"spec\.template\.metadata\.annotations\""):
        forbid_annotations({PREFIX + "min-scale": "1"}, "metadata.annotations")


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59))
def test_durations_are_in_gos_notation(hours: int, minutes: int, seconds: int) -> None:
    assert duration_seconds(f"{hours}h{minutes}m{seconds}s") == hours * 3600 + minutes * 60 + seconds
