from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from functions.batch.run.pieces import End, Rows, Unreadable, items
from functions.batch.run.plan import PART_ROWS, PartId, Stretch
from functions.batch.storage import Piece, Reject


def pieces(rows: int, cuts: list[int], bad: set[int]) -> Iterator[Piece]:
    for begin, end in zip([0, *cuts], [*cuts, rows], strict=True):
        numbers = [row for row in range(begin, end) if row not in bad]
        rejects = tuple(Reject(row, f"line {row + 2}", "broken") for row in range(begin, end) if row in bad)
        batch = pa.RecordBatch.from_pydict({"x": pa.array(numbers, pa.int64())})
        yield Piece(batch=batch, first_row=begin, rows=end - begin, rejects=rejects, numbers=pa.array(numbers, pa.int64()))


@given(rows=st.integers(0, 3 * PART_ROWS), data=st.data())
def test_rows_are_cut_into_the_same_parts_however_they_arrive(rows: int, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, rows - 1)), max_size=6))) if rows > 1 else []
    bad = data.draw(st.sets(st.integers(0, max(0, rows - 1)), max_size=5)) if rows else set()
    found = list(items(pieces(rows, cuts, bad), Stretch(0, 0, None), None, 10_000))
    read: dict[int, list[int]] = {}
    rejected = set()
    for item in found:
        if isinstance(item, Rows):
            assert item.batch.num_rows <= 10_000
            assert item.batch.column("x").to_pylist() == item.numbers.tolist()
            read.setdefault(item.part.span, []).extend(item.numbers.tolist())
        elif isinstance(item, Unreadable):
            rejected.add(item.reject.row)
    assert rejected == bad
    for span, numbers in read.items():
        assert numbers == [row for row in range(span * PART_ROWS, min(rows, (span + 1) * PART_ROWS)) if row not in bad]
    ends = [item for item in found if isinstance(item, End)]
    assert [end.part for end in ends] == [PartId(0, span) for span in range(max(1, -(-rows // PART_ROWS)))]
    assert [end.last for end in ends] == [False] * (len(ends) - 1) + [True]
    assert sum(end.read for end in ends) == rows
