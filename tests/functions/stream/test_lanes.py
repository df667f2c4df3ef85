from __future__ import annotations

from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from functions.stream.lanes import Lanes, Queued

KEYS = [None, b"a", b"b", b"c"]


class Simulation:
    """Lanes whose records are posted as they may be, and get results in any order."""

    def __init__(self) -> None:
        self.lanes: Lanes[Queued] = Lanes()
        self.posted: list[Queued] = []
        self.written: list[Queued] = []
        self._offsets = count()

    def add(self, key: bytes | None) -> Queued:
        queued = Queued(next(self._offsets))
        self.lanes.join(queued, key)
        if not queued.waits:
            self.posted.append(queued)
        return queued

    def resolve(self, queued: Queued) -> None:
        self.posted.remove(queued)
        queued.attempts += 1
        queued.result = "a result"
        turn = self.lanes.take([queued])
        self.written += turn.written
        self.posted += turn.posted

    def retry(self, queued: Queued) -> None:
        queued.attempts += 1


steps = st.lists(st.one_of(st.sampled_from(KEYS), st.tuples(st.booleans(), st.integers(0, 20))), max_size=60)


@given(steps)
def test_each_record_is_written_once_and_in_the_order_of_its_key(steps: list[bytes | tuple[bool, int] | None]) -> None:
    simulation = Simulation()
    added: dict[bytes | None, list[int]] = {key: [] for key in KEYS}
    lane_of: dict[int, bytes | None] = {}
    for step in steps:
        if not isinstance(step, tuple):
            queued = simulation.add(step)
            added[step].append(queued.offset)
            lane_of[queued.offset] = step
        elif simulation.posted:
            is_retried, number = step
            posted = simulation.posted[number % len(simulation.posted)]
            (simulation.retry if is_retried else simulation.resolve)(posted)
        # A record that may not be posted waits for one that is.
        waiting = {lane_of[queued.offset] for queued in simulation.posted}
        assert all(key in waiting for key in simulation.lanes._last)
    while simulation.posted:
        simulation.resolve(simulation.posted[0])
    written = [queued.offset for queued in simulation.written]
    assert sorted(written) == sorted(lane_of)
    for key in KEYS[1:]:
        assert [offset for offset in written if lane_of[offset] == key] == added[key]
    assert len(simulation.lanes) == 0


def test_retried_record_holds_its_key_alone() -> None:
    simulation = Simulation()
    retried = simulation.add(b"a")
    simulation.retry(retried)
    behind = [simulation.add(b"a") for _ in range(3)]
    other = simulation.add(b"b")
    assert simulation.posted == [retried, other]
    simulation.resolve(other)
    assert simulation.written == [other]
    simulation.resolve(retried)
    assert simulation.written == [other, retried]
    assert simulation.posted == behind


def test_records_that_were_posted_before_the_retry_are_written_after_it() -> None:
    simulation = Simulation()
    first, second = simulation.add(b"a"), simulation.add(b"a")
    simulation.retry(first)
    simulation.resolve(second)
    assert simulation.written == []
    simulation.resolve(first)
    assert simulation.written == [first, second]


def test_nothing_orders_records_without_a_key() -> None:
    simulation = Simulation()
    first, second = simulation.add(None), simulation.add(None)
    simulation.retry(first)
    simulation.resolve(second)
    assert simulation.written == [second]


@given(st.lists(st.tuples(st.sampled_from(["add", "resolve", "retry"]), st.integers(0, 100), st.sampled_from(KEYS))))
def test_count_of_those_that_wait_is_that_of_the_records_that_wait(steps: list[tuple[str, int, bytes | None]]) -> None:
    simulation, added = Simulation(), []
    for action, choice, key in steps:
        if action == "add":
            added.append(simulation.add(key))
        elif simulation.posted:
            posted = simulation.posted[choice % len(simulation.posted)]
            (simulation.resolve if action == "resolve" else simulation.retry)(posted)
        assert simulation.lanes.waiting == sum(queued.waits for queued in added)
