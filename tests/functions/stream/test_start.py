from __future__ import annotations

import pytest

from functions.stream.start import Start, find


@pytest.mark.parametrize(
    ("committed", "first", "end", "reset", "position", "continues", "words"),
    [
        (None, 4, 9, "earliest", 4, True, ""),
        (None, 4, 9, "latest", 9, True, ""),
        (4, 4, 9, "latest", 4, True, ""),
        (9, 4, 9, "earliest", 9, True, ""),
        (1, 4, 9, "earliest", 4, True, "3 records from offset 1 on were removed before they were read; the worker goes on at 4 ("),
        (
            1,
            4,
            9,
            "latest",
            9,
            True,
            "3 records from offset 1 on were removed before they were read; the worker goes on at 9 and passes over 5",
        ),
        (1, 9, 9, "latest", 9, True, "8 records from offset 1 on were removed before they were read; the worker goes on at 9 ("),
        (10, 4, 9, "earliest", 4, False, "the group's offset 10 is beyond the partition's end 9, as after its topic was recreated"),
        (10, 4, 9, "latest", 9, False, "the worker goes on at 9 and passes over 5 records (TIDEGATE_STREAM_RESET)"),
    ],
)
def test_start_is_the_groups_offset_if_the_partition_has_it(
    committed: int | None, first: int, end: int, reset: str, position: int, continues: bool, words: str
) -> None:
    found = find(committed, first, end, reset)
    assert found == Start(position, continues, found.problem)
    assert bool(found.problem) == bool(words)
    assert words in found.problem
