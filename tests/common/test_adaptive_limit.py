from __future__ import annotations

import heapq

from hypothesis import given, settings
from hypothesis import strategies as st

from common.adaptive_limit import AdaptiveLimit

ROWS = 1_000


def simulate(
    window: AdaptiveLimit, *, servers: int, requests: int, queue: int | None = None, service: float = 0.1
) -> tuple[list[int], float]:
    """Send requests to a model with so many servers, which refuses what its queue cannot hold.

    Returns the limit after each answer, and the time that all took.
    """
    now = 0.0
    limits: list[int] = []
    running: list[float] = []  # the times at which answers arrive
    free = [0.0] * servers
    while len(limits) < requests:
        while len(running) < window.limit:
            window.started(now)
            if queue is not None and len(running) >= servers + queue:
                window.overloaded(now)
                heapq.heappush(running, now + service)  # retried later, in its place
                continue
            start = max(now, heapq.heappop(free))
            heapq.heappush(free, start + service)
            heapq.heappush(running, start + service)
        now = heapq.heappop(running)
        window.finished(ROWS, now)
        limits.append(window.limit)
    return limits, now


def test_window_grows_until_throughput_does_not() -> None:
    limits, _ = simulate(AdaptiveLimit(most=256), servers=20, requests=6_000)
    settled = limits[3_000:]
    assert min(settled) >= 16
    assert max(settled) <= 64


def test_throughput_is_near_that_of_all_servers() -> None:
    _, seconds = simulate(AdaptiveLimit(most=256), servers=20, requests=6_000)
    assert seconds < 1.25 * 6_000 * 0.1 / 20


def test_window_follows_a_model_that_is_scaled_out() -> None:
    window = AdaptiveLimit(most=256)
    simulate(window, servers=4, requests=1_000)
    small = window.limit
    limits, _ = simulate(window, servers=40, requests=4_000)
    assert small < 16
    assert max(limits) >= 40


def test_overload_halves_the_window_once_for_all_requests_in_flight() -> None:
    window = AdaptiveLimit(most=64, limit=32)
    for _ in range(32):
        window.overloaded(1.0)
    assert window.limit == 16


@given(servers=st.integers(1, 30), queue=st.integers(0, 10), most=st.integers(1, 100))
@settings(max_examples=30, deadline=None)
def test_window_stays_within_its_bounds_and_everything_is_answered(servers: int, queue: int, most: int) -> None:
    limits, _ = simulate(AdaptiveLimit(most=most), servers=servers, requests=500, queue=queue)
    assert all(1 <= limit <= most for limit in limits)
