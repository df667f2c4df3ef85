from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from functions.stream.window import Entry, Span, Window

# Offsets have gaps: compaction and transactions leave them.
offsets = st.lists(st.integers(0, 200), unique=True, min_size=1).map(sorted)


def window_of(numbers: list[int], finished: list[Span] | None = None) -> tuple[Window[Entry], list[Entry]]:
    window: Window[Entry] = Window(0, finished or [])
    entries = [Entry(number) for number in numbers]
    for entry in entries:
        window.append(entry)
    return window, entries


def covered(spans: list[Span]) -> set[int]:
    return {offset for span in spans for offset in range(*span)}


@given(offsets, st.data())
def test_position_and_spans_show_what_is_finished(numbers: list[int], data: st.DataObject) -> None:
    window, entries = window_of(numbers)
    unfinished = set(numbers)
    for entry in data.draw(st.permutations(entries)):
        window.finish(entry)
        unfinished.discard(entry.offset)
        spans = list(window.finished())
        assert window.position == min(unfinished, default=numbers[-1] + 1)
        beyond = {number for number in numbers if number >= window.position}
        assert covered(spans) & set(numbers) == beyond - unfinished
        assert [entry.offset for entry in window] == sorted(unfinished)
        assert (len(window), window.gaps) == (len(unfinished), len(spans))
        assert all(before.stop < after.start for before, after in itertools.pairwise(spans))
    assert window.gaps == 0


@given(offsets, st.data())
def test_next_owner_skips_exactly_what_was_finished(numbers: list[int], data: st.DataObject) -> None:
    window, entries = window_of(numbers)
    finished = data.draw(st.sets(st.sampled_from(entries)))
    for entry in finished:
        window.finish(entry)
    successor: Window[Entry] = Window(window.position, window.finished())
    expected = {entry.offset for entry in finished}
    for number in numbers:
        if number < window.position:
            assert number in expected
        elif successor.is_finished(number):
            assert number in expected
            successor.pass_over(number)
        else:
            assert number not in expected
            successor.append(Entry(number))
            assert successor.position <= number
    assert successor.position == window.position


@given(offsets, st.data())
def test_what_is_known_to_be_finished_stays_known_until_it_is_read(numbers: list[int], data: st.DataObject) -> None:
    known = [Span(300, 310), Span(320, 321)]
    window, entries = window_of(numbers, known)
    for entry in data.draw(st.permutations(entries)):
        window.finish(entry)
    assert list(window.finished()) == known
    assert not window.is_finished(250)
    assert window.is_finished(305)
    window.pass_over(305)
    assert window.position == 306
    assert list(window.finished()) == [Span(306, 310), Span(320, 321)]


def test_record_without_an_output_holds_up_nothing() -> None:
    window, (first,) = window_of([4])
    window.pass_over(5)
    assert (window.position, list(window.finished())) == (4, [Span(5, 6)])
    window.finish(first)
    assert (window.position, list(window.finished()), window.gaps) == (6, [], 0)
    window.pass_over(6)
    assert window.position == 7
