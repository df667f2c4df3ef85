from __future__ import annotations

import tracemalloc
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from eventing.kafka.port import TopicPartition
from eventing.reply import Problem
from tests.fixtures.deadletters import Record, letter_of, stored
from tidegate.deadletters.filters import Filter
from tidegate.deadletters.ledger import MAX_REASONS, OTHER_REASONS, Ledger, PartitionLedger, State
from tidegate.deadletters.letter import Address
from tidegate.deadletters.marker import Kind, Marker, ranges_of

LETTERS = 6
FOREVER = 1e9


@dataclass
class Operator:
    """A run with its own, possibly old, view of the partition."""

    run: str
    known: PartitionLedger
    won: set[int] = field(default_factory=set)


def partition() -> PartitionLedger:
    found = PartitionLedger(LETTERS)
    for offset in range(LETTERS):
        found.add(offset, 0, 0)
    return found


def read(known: PartitionLedger, log: list[Marker]) -> None:
    for offset in range(known.position, LETTERS + len(log)):
        known.apply(log[offset - LETTERS], offset, 0)
    known.position = LETTERS + len(log)


actions = st.tuples(
    st.integers(0, 2), st.sampled_from(["read", *Kind]), st.sets(st.integers(0, LETTERS - 1), min_size=1).map(sorted), st.booleans()
)


@given(st.lists(actions, max_size=40))
@settings(max_examples=100)
def test_letter_is_never_held_by_two_runs(steps: list[tuple[int, str | Kind, list[int], bool]]) -> None:
    log: list[Marker] = []
    operators = [Operator(f"run-{number}", partition()) for number in range(3)]
    dealt: Counter[int] = Counter()
    for number, action, offsets, _ in steps:
        one = operators[number]
        if action in (Kind.CLAIMED, Kind.DISCARDED):
            open_ = {one.known.offset_at(index) for index in one.known.open_indexes(0, ())}
            chosen = [offset for offset in offsets if offset in open_]
            seen = one.known.position
            log.append(Marker(kind=Kind(action), run=one.run, letters=ranges_of(chosen), seen=seen, lease_seconds=FOREVER))
            read(one.known, log)
            won = set(one.known.won(chosen, LETTERS + len(log) - 1))
            if action is Kind.CLAIMED:
                assert not any(won & other.won for other in operators)
                one.won |= won
            else:
                dealt.update(won)
        elif action in (Kind.REPLAYED, Kind.RELEASED):
            chosen = sorted(one.won & set(offsets))
            log.append(Marker(kind=Kind(action), run=one.run, letters=ranges_of(chosen)))
            one.won -= set(chosen)
            if action is Kind.REPLAYED:
                dealt.update(chosen)
        else:
            read(one.known, log)
    assert set(dealt.values()) <= {1}
    whole = partition()
    read(whole, log)
    for one in operators:
        read(one.known, log)
        for offset in range(LETTERS):
            assert one.known.state(offset) is whole.state(offset)
    for offset in range(LETTERS):
        holders = [one.run for one in operators if offset in one.won]
        claim = whole.claim(offset)
        assert holders == ([claim.run] if claim else [])
        assert (whole.state(offset) in (State.REPLAYED, State.DISCARDED)) == (dealt[offset] == 1)


def test_claim_is_taken_over_when_it_has_expired_or_its_run_is_named_by_one_run_alone() -> None:
    known = partition()
    end = TopicPartition("flights.departed", 0)
    known.apply(Marker(kind=Kind.CLAIMED, run="dead", letters=((0, 1),), seen=6, lease_seconds=60, ends={end: 5}), 6, 1_000)
    assert set(known.open_indexes(60_999, ())) == {2, 3, 4, 5}
    assert set(known.open_indexes(61_000, ())) == set(range(6))
    assert set(known.open_indexes(60_999, ("dead",))) == set(range(6))
    held = known.claim(0)
    assert held is not None
    assert held.ends == {end: 5}
    for offset, run in ((7, "first"), (8, "second")):  # neither has seen the claim of the other
        known.apply(Marker(kind=Kind.CLAIMED, run=run, letters=((0, 0),), seen=7, lease_seconds=60), offset, 2_000)
    taken, kept = known.claim(0), known.claim(1)
    assert taken is not None
    assert kept is not None
    assert (taken.run, kept.run) == ("first", "dead")
    known.apply(Marker(kind=Kind.RELEASED, run="dead", letters=((0, 1),)), 9, 3_000)
    assert [known.state(offset) for offset in (0, 1)] == [State.CLAIMED, State.OPEN]


def ledger_of(records: list[Record], filter_: Filter | None = None) -> Ledger:
    found = Ledger(filter_ or Filter(), {0: 0, 1: 0})
    for record in records:
        found.take(record)
    return found


def test_oldest_letters_are_selected_across_partitions() -> None:
    times = {(0, 0): 50, (0, 1): 10, (1, 0): 30, (1, 1): 20}
    letter = letter_of(Record())
    found = ledger_of([stored(letter, partition=number, offset=offset, timestamp=ms) for (number, offset), ms in times.items()])
    assert {number: list(offsets) for number, offsets in found.select(0, 3).items()} == {0: [1], 1: [0, 1]}
    assert found.first(tuple(State), 2) == [(Address(0, 1), State.OPEN), (Address(1, 1), State.OPEN)]


def test_records_that_are_no_letters_are_counted_and_do_no_harm() -> None:
    letter = letter_of(Record())
    malformed = Marker(kind=Kind.CLAIMED, run="r", letters=((0, 0),)).to_message("t", 1)
    broken = Record(None, b'{"letters": [[5, 1]], "run": 7}', list(malformed.headers), offset=2, partition=0)
    unreadable = Record(b"k", b"v", [("tidegate_origin", b"\xff"), ("tidegate_problem", b"{")], offset=3, partition=0)
    found = ledger_of([stored(letter), Record(b"k", b"v", [], offset=1, partition=0), broken, unreadable])
    assert (found.letters, found.others) == (2, 2)
    assert found.counts() == {State.OPEN: 2}
    assert {count.reason.title for count in found.reasons_in((State.OPEN,))} == {"invalid input", "unknown"}


def test_reasons_are_bounded() -> None:
    found = ledger_of(
        [stored(letter_of(Record(), Problem(400, f"reason {number}", "d.")), offset=number) for number in range(MAX_REASONS + 50)]
    )
    counted = {count.reason: count.letters for count in found.reasons_in((State.OPEN,))}
    assert len(counted) == MAX_REASONS
    assert counted[OTHER_REASONS] == 51


def test_memory_is_some_bytes_a_letter() -> None:
    letter, count = stored(letter_of(Record())), 20_000
    reasons: dict[int, int] = defaultdict(int)
    found = PartitionLedger()
    tracemalloc.start()
    try:
        for offset in range(count):
            found.add(offset, letter.timestamp, reasons[0])
        found.apply(Marker(kind=Kind.CLAIMED, run="r", letters=((0, count),), seen=count), count, 0)
        found.apply(Marker(kind=Kind.REPLAYED, run="r", letters=((0, count),)), count + 1, 0)
        assert tracemalloc.get_traced_memory()[0] < 40 * count
    finally:
        tracemalloc.stop()
