from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.stream.checkpoint import MOST_BYTES, MOST_GAPS, Checkpoint, Position, merged
from functions.stream.window import Span

positions = st.builds(Position, st.integers(0, 1000), st.integers(0, 2**62))
topics = st.dictionaries(st.text(min_size=1), positions)
lengths = st.lists(st.tuples(st.integers(1, 10_000), st.integers(1, 10_000)), max_size=50)


def spans_from(offset: int, lengths: list[tuple[int, int]]) -> tuple[Span, ...]:
    spans = []
    for unfinished, finished in lengths:
        spans.append(Span(offset + unfinished, offset + unfinished + finished))
        offset = spans[-1].stop
    return tuple(spans)


@given(topics, st.integers(0, 2**62), lengths)
def test_checkpoint_is_parsed_as_it_was_written(positions: dict[str, Position], offset: int, lengths: list[tuple[int, int]]) -> None:
    checkpoint = Checkpoint(positions, spans_from(offset, lengths))
    assert Checkpoint.from_text(checkpoint.to_text(offset), offset) == checkpoint


@pytest.mark.parametrize(
    "text",
    ["", "by hand", "[]", "{", '{"a": 1}', '{"a": [1]}', '{"a": ["x", "y"]}', "null", "7", '{"": "no base 85"}', '{"": 3}', '{"": "c"}'],
)
def test_metadata_of_another_client_is_no_checkpoint(text: str) -> None:
    assert Checkpoint.from_text(text, 0) is None


@given(st.text())
def test_any_text_is_parsed_or_refused(text: str) -> None:
    Checkpoint.from_text(text, 5)
    Checkpoint.from_text(f'{{"": "{text}"}}', 5)


def test_checkpoint_without_gaps_has_positions_alone() -> None:
    assert Checkpoint({"out": Position(1, 7)}).to_text(9) == '{"out":[1,7]}'


@pytest.mark.parametrize("seed", range(5))
def test_most_gaps_fit_into_the_metadata_of_a_commit(seed: int) -> None:
    numbers = random.Random(seed)  # noqa: S311 not for secrets
    # A batch of results may be written beyond the bound.
    lengths = [(numbers.choice([1, 1, 1, 2, 5]), numbers.randrange(1, 5_000)) for _ in range(MOST_GAPS + 256)]
    checkpoint = Checkpoint({"o" * 60: Position(11, 2**40), "d" * 70: Position(11, 2**40)}, spans_from(2**40, lengths))
    assert len(checkpoint.to_text(2**40)) <= MOST_BYTES


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 10)).map(lambda pair: Span(pair[0], sum(pair)))))
def test_merged_spans_cover_the_same_and_do_not_touch(spans: list[Span]) -> None:
    found = list(merged(spans))
    assert {offset for span in found for offset in range(*span)} == {offset for span in spans for offset in range(*span)}
    assert all(before.stop < after.start for before, after in itertools.pairwise(found))
