from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from functions.rollout.routers import MOST_ROUTERS, WINDOW, Ignored, Routers

NAMES = st.sampled_from([f"router-{number}" for number in range(4)])


def deliver(routers: Routers, outcomes: Sequence[tuple[str, int]]) -> tuple[Routers, list[tuple[str, int]]]:
    applied = []
    for name, sequence in outcomes:
        if routers.check(name, sequence, float(sequence)) is None:
            routers = routers.add(name, sequence, float(sequence))
            applied.append((name, sequence))
    return routers, applied


@given(st.lists(st.tuples(NAMES, st.integers(1, 3 * WINDOW)), max_size=200))
def test_no_outcome_is_applied_twice(outcomes: list[tuple[str, int]]) -> None:
    _, applied = deliver(Routers(), outcomes + outcomes)

    assert len(applied) == len(set(applied))


@given(st.sets(st.tuples(NAMES, st.integers(1, WINDOW)), max_size=150).flatmap(lambda outcomes: st.permutations(sorted(outcomes))))
def test_outcomes_within_the_window_are_applied_in_any_order(outcomes: list[tuple[str, int]]) -> None:
    _, applied = deliver(Routers(), outcomes)

    assert applied == outcomes


@given(st.lists(st.tuples(st.integers(0, 3 * MOST_ROUTERS), st.integers(1, 40)), max_size=300))
def test_an_outcome_of_a_router_that_was_forgotten_is_not_applied_again(outcomes: list[tuple[int, int]]) -> None:
    routers, applied = deliver(Routers(), [(f"router-{name}", sequence) for name, sequence in outcomes + outcomes])

    assert len(applied) == len(set(applied))
    assert len(routers.seen) <= MOST_ROUTERS


def test_a_new_router_is_heard_after_many_have_come_and_gone() -> None:
    routers, _ = deliver(Routers(), [(f"router-{number}", 1 + number) for number in range(100)])

    assert routers.check("router-0", 1, 1.0) is Ignored.LATE
    assert routers.check("another", 1, 200.0) is None


def test_a_router_that_was_forgotten_goes_on() -> None:
    routers, _ = deliver(Routers(), [("first", 5), *((f"router-{number}", 6) for number in range(MOST_ROUTERS))])

    assert routers.check("first", 5, 5.0) is Ignored.LATE
    routers, applied = deliver(routers, [("first", 7), ("first", 7), ("first", 6)])
    assert applied == [("first", 7), ("first", 6)]
