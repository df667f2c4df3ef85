from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.delivery import Outcome
from tidegate.local.eventing.delivery.policy import DeliveryPolicy, outcome
from tidegate.local.objects.eventing import DeliverySpec


def policy(**fields: Any) -> DeliveryPolicy:
    return DeliveryPolicy.of(DeliverySpec.model_validate(fields))


@pytest.mark.parametrize("spec", [None, DeliverySpec(), DeliverySpec.model_validate({"deadLetterSink": {"uri": "http://s"}})], ids=repr)
def test_event_is_sent_once_unless_retries_are_asked_for(spec: DeliverySpec | None) -> None:
    assert DeliveryPolicy.of(spec) == DeliveryPolicy(retries=0, timeout_seconds=600)


@given(st.integers(1, 1000), st.integers(0, 100_000))
def test_linear_waits_grow_by_the_delay(retry: int, milliseconds: int) -> None:
    found = policy(retry=1000, backoffPolicy="linear", backoffDelay=f"PT{milliseconds / 1000:.3f}S")

    assert found.wait_seconds(retry) == pytest.approx(milliseconds / 1000 * retry)


@given(st.integers(1, 2**31 - 1), st.integers(1, 100_000))
def test_exponential_waits_double(retry: int, milliseconds: int) -> None:
    found = policy(retry=2**31 - 1, backoffPolicy="exponential", backoffDelay=f"PT{milliseconds / 1000:.3f}S")

    assert found.wait_seconds(1) == pytest.approx(2 * milliseconds / 1000)
    if retry < 62:
        assert found.wait_seconds(retry + 1) == 2 * found.wait_seconds(retry)
    assert found.wait_seconds(retry) < float("inf")


def test_retries_without_a_delay_start_at_200_ms_and_double() -> None:
    assert [policy(retry=3).wait_seconds(retry) for retry in (1, 2, 3)] == [0.4, 0.8, 1.6]


@pytest.mark.parametrize(("text", "seconds"), [("PT0.5S", 0.5), ("PT2M", 120), ("P1DT1H", 90_000), ("PT0S", 600)])
def test_timeout_limits_each_attempt(text: str, seconds: float) -> None:
    assert policy(timeout=text).timeout_seconds == seconds


@given(st.integers(200, 599))
def test_statuses_are_classified_as_by_knative(status: int) -> None:
    retryable = status >= 500 or status in (404, 408, 409, 429)
    expected = Outcome.DONE if status < 300 else Outcome.RETRY if retryable else Outcome.DEAD_LETTER

    assert outcome(status) is expected
