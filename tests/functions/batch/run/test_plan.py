from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from functions.batch.run.plan import PART_ROWS, PartId, Shard, Stretch, span_count, stretches

ROWS = st.lists(st.one_of(st.none(), st.integers(0, 12 * PART_ROWS)), min_size=1, max_size=5)


def spans_of(stretch: Stretch, file_rows: int | None) -> set[PartId]:
    count = stretch.spans if stretch.spans is not None else 100
    return {PartId(stretch.file, stretch.first_span + index) for index in range(count)}


@given(rows=ROWS, count=st.integers(1, 5), data=st.data())
def test_shards_read_each_unfinished_part_once(rows: list[int | None], count: int, data: st.DataObject) -> None:
    finished = {
        file: data.draw(st.sets(st.integers(0, (span_count(found) if found is not None else 8) - 1))) for file, found in enumerate(rows)
    }
    read: list[PartId] = []
    for index in range(count):
        for stretch in stretches(rows, finished, Shard(index, count)):
            read += spans_of(stretch, rows[stretch.file])
    assert len(read) == len(set(read))
    for file, found in enumerate(rows):
        spans = {part.span for part in read if part.file == file}
        if found is None:
            assert spans.isdisjoint(finished[file])
            assert spans | finished[file] >= set(range(100))
        else:
            assert spans == set(range(span_count(found))) - finished[file]


def test_empty_file_has_one_part() -> None:
    assert list(stretches([0], {})) == [Stretch(0, 0, 1)]


def test_finished_parts_are_skipped() -> None:
    assert list(stretches([4 * PART_ROWS], {0: {1}})) == [Stretch(0, 0, 1), Stretch(0, 2, 2)]
    assert list(stretches([None], {0: {0, 2}})) == [Stretch(0, 1, 1), Stretch(0, 3, None)]
