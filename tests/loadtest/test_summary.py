from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.summary import Sample, quantile, summarize

milliseconds = st.floats(min_value=0, max_value=1e6, allow_nan=False)
samples = st.lists(
    st.builds(Sample, at=st.floats(0, 100), latency_ms=milliseconds, error=st.none() | st.sampled_from(["status 503", "reset"]))
)


@given(st.lists(milliseconds, min_size=1), st.floats(min_value=0, max_value=1))
def test_quantile_is_of_nearest_rank(values: list[float], q: float) -> None:
    ordered = sorted(values)
    found = quantile(ordered, q)
    assert sum(value <= found for value in ordered) >= q * len(ordered)
    assert sum(value < found for value in ordered) <= q * len(ordered)


@given(samples)
def test_every_request_is_measured_or_failed(run: list[Sample]) -> None:
    summary = summarize(run, 10)
    assert summary.requests == len(run)
    assert summary.failures == sum(summary.errors.values())
    latencies = list(summary.latency_ms.values())
    assert latencies == sorted(latencies)
    assert summary.requests_per_second == pytest.approx((summary.requests - summary.failures) / 10, abs=0.05)


def test_first_answer_is_the_first_success() -> None:
    run = [Sample(0.0, 5, "status 503"), Sample(0.1, 900), Sample(0.5, 100)]
    assert summarize(run, 1).first_answer_ms == pytest.approx(600)


def test_run_without_requests_has_figures() -> None:
    summary = summarize([], 0)
    assert (summary.requests, summary.first_answer_ms, summary.latency_ms) == (0, None, {})
