from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tidegate.local.eventing.kafka.progress import Progress


@given(st.integers(0, 2**40), st.lists(st.integers(0, 3), max_size=50), st.randoms())
def test_position_is_the_lowest_offset_that_is_not_finished(start: int, gaps: list[int], random: st.DataObject) -> None:
    progress = Progress(start)
    offsets: list[int] = []
    following = start
    for gap in gaps:
        offsets.append(following + gap)
        progress.read(offsets[-1])
        following = offsets[-1] + 1
        assert progress.next == following
    unfinished = set(offsets)
    for offset in random.sample(offsets, len(offsets)):  # type: ignore[attr-defined]
        assert progress.position == min(unfinished)
        progress.finish(offset)
        unfinished.discard(offset)
    assert progress.position == progress.next == following
