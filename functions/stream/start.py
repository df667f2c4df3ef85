"""Where a worker starts to read a partition: at the group's offset, if the partition still has it. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

from functions.stream.settings import EARLIEST


@dataclass(frozen=True, slots=True)
class Start:
    """An offset, and why it is not the group's. `continues`: the group's own outputs belong to records from there on."""

    position: int
    continues: bool = True
    problem: str = ""


def find(committed: int | None, first: int, end: int, reset: str) -> Start:
    """Return where to start: `first` is the oldest offset of the partition and `end` the next to be produced."""
    other = first if reset == EARLIEST else end
    if committed is None:
        return Start(other)
    if committed > end:
        problem = (
            f"the group's offset {committed} is beyond the partition's end {end}, as after its topic was recreated;"
            f" {_goes_on(other, first, end)}"
        )
        # Outputs of the records that are gone would be taken for those of records with the same offsets.
        return Start(other, continues=False, problem=problem)
    if committed < first:
        problem = (
            f"{first - committed} records from offset {committed} on were removed before they were read;"
            f" {_goes_on(other, first, end)}, and raise the topic's retention or the number of workers"
        )
        return Start(other, problem=problem)
    return Start(committed)


def _goes_on(position: int, first: int, end: int) -> str:
    skipped = f" and passes over {end - first} records" if position == end > first else ""
    return f"the worker goes on at {position}{skipped} (TIDEGATE_STREAM_RESET)"
