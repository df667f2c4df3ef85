from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.local.controller.autoscaler import Autoscaler, Observation
from tidegate.local.objects.scaling import Decision, Scaling

TICK = 0.25
QUIET = Scaling(target=2.0, window=10.0, panic_window=1.0, max_scale=4)


class Clock:
    """A revision in simulated time, with the desired replicas at the next tick."""

    def __init__(self, scaling: Scaling, replicas: int = 1) -> None:
        self.scaling = scaling
        self.replicas = replicas
        self.time = 0.0
        self.autoscaler = Autoscaler(0.0)

    def tick(self, in_flight: int) -> Decision:
        self.time += TICK
        observation = Observation(
            time=self.time, concurrency=float(in_flight), rate=in_flight / TICK, in_flight=in_flight, replicas=self.replicas
        )
        decision = self.autoscaler.decide(observation, self.scaling)
        self.replicas = decision.desired
        return decision

    def run(self, seconds: float, in_flight: int) -> list[Decision]:
        return [self.tick(in_flight) for _ in range(round(seconds / TICK))]


def test_zero_needs_a_whole_window_without_requests() -> None:
    clock = Clock(QUIET)
    clock.run(5, 1)
    assert all(decision.desired == 1 for decision in clock.run(9.75, 0))
    assert clock.tick(0) == Decision(0, "no request for 10 s")


def test_retention_keeps_the_last_replica_longer() -> None:
    clock = Clock(Scaling(target=2.0, window=10.0, panic_window=1.0, retention=5.0))
    clock.run(1, 1)
    assert clock.run(14.75, 0)[-1].desired == 1
    assert clock.tick(0).desired == 0


def test_replicas_follow_the_target() -> None:
    decision = Clock(QUIET, replicas=2).run(10, 6)[-1]
    assert decision == Decision(3, "6.0 requests in flight, target 2 per replica")


def test_burst_scales_up_within_the_panic_window() -> None:
    clock = Clock(QUIET)
    clock.run(10, 1)
    assert clock.run(1, 8)[-1].desired == 4


def test_panic_removes_no_replica() -> None:
    clock = Clock(QUIET)
    clock.run(10, 1)
    clock.run(2, 8)
    assert all(decision.desired == 4 for decision in clock.run(8, 1))
    assert clock.run(10, 1)[-1].desired == 1


def test_max_scale_is_named_as_the_reason() -> None:
    assert Clock(QUIET).run(10, 100)[-1] == Decision(4, "100.0 requests in flight, target 2 per replica; max-scale is 4")


def test_min_scale_keeps_replicas_without_requests() -> None:
    assert Clock(Scaling(min_scale=2)).run(200, 0)[-1] == Decision(2, "min-scale is 2")


def test_scale_down_delay_keeps_replicas() -> None:
    clock = Clock(Scaling(target=2.0, window=6.0, panic_window=0.6, scale_down_delay=30.0), replicas=2)
    clock.run(6, 4)
    assert clock.run(29, 1)[-1].desired == 2
    assert clock.run(8, 1)[-1].desired == 1


def test_requests_per_second_scale_too() -> None:
    clock = Clock(Scaling(metric="rps", target=4.0, window=6.0, panic_window=0.6), replicas=2)
    assert clock.run(6, 2)[-1] == Decision(2, "8.0 requests per second, target 4 per replica")


loads = st.lists(st.tuples(st.integers(1, 40), st.integers(0, 200)), min_size=1, max_size=12)
scalings = st.builds(
    lambda target, low, extra, window, delay: Scaling(
        target=target,
        min_scale=low,
        max_scale=low + extra if low + extra else 0,
        window=window,
        panic_window=window / 10,
        scale_down_delay=delay,
    ),
    st.floats(0.01, 100),
    st.integers(0, 3),
    st.integers(0, 10),
    st.floats(6, 60),
    st.sampled_from([0.0, 5.0]),
)


@given(scalings, loads)
def test_bounds_hold_under_any_load(scaling: Scaling, load: list[tuple[int, int]]) -> None:
    clock = Clock(scaling)
    for ticks, in_flight in load:
        for _ in range(ticks):
            decision = clock.tick(in_flight)
            assert decision.desired >= scaling.min_scale
            assert not scaling.max_scale or decision.desired <= scaling.max_scale
            assert decision.desired >= 1 or not in_flight
            assert decision.reason


@settings(max_examples=25)  # each example simulates minutes of idle time, tick by tick
@given(scalings, loads)
def test_idle_time_ends_at_the_minimum_after_any_load(scaling: Scaling, load: list[tuple[int, int]]) -> None:
    clock = Clock(scaling)
    for ticks, in_flight in load:
        for _ in range(ticks):
            clock.tick(in_flight)
    halvings = 16 * (scaling.scale_down_delay + TICK)
    assert clock.run(4 * scaling.window + halvings, 0)[-1].desired == scaling.min_scale
