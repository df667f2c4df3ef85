from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from functions.stream.gaps import Gaps


@dataclass(frozen=True)
class Record:
    offset: int
    topic: str = "in"
    partition: int = 0
    key: bytes | None = None
    value: bytes | None = None
    headers: list[tuple[str, bytes | None]] = field(default_factory=list)


@given(kept=st.sets(st.integers(0, 60), max_size=40), start=st.integers(0, 50), read=st.integers(0, 50), size=st.integers(1, 7))
def test_removed_records_are_counted_and_compacted_ones_are_not(kept: set[int], start: int, read: int, size: int) -> None:
    """A consumer has read up to `read` when all before `start` is removed; of the rest, compaction has left `kept`."""
    gaps = Gaps()
    gaps.sought(0, read)
    records = [Record(offset) for offset in sorted(kept) if offset >= max(start, read)]
    for number in range(0, len(records), size):
        assert gaps.follows(0, records[number : number + size])
    assert gaps.removed(0, start) == (max(0, start - read) if records else 0)
    assert gaps.noted() == []


def test_records_before_the_expected_offset_do_not_follow() -> None:
    gaps = Gaps()
    gaps.sought(0, 7)
    assert gaps.follows(0, [Record(7)])
    assert not gaps.follows(0, [Record(0), Record(1)])
    # Until the partition is sought again, nothing is known of it.
    assert gaps.follows(0, [Record(2)])
    gaps.sought(0, 0)
    assert gaps.follows(0, [Record(0)])
