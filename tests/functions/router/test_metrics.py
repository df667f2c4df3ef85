from __future__ import annotations

from functions.router.metrics import Metrics


def test_latencies_are_kept_by_revision() -> None:
    metrics = Metrics()
    metrics.called("a", "a-1", 200, 0.2)
    metrics.called("a", "a-2", 0, 0.1)
    assert {key: histogram.sum for key, histogram in metrics.latencies.items()} == {("a", "a-1"): 0.2, ("a", "a-2"): 0.1}
