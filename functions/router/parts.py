"""One request into a part for each arm, and the answers back into one order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson

from common.errors import TidegateError
from functions.router.reply import Answer
from functions.runtime.errors import InvalidInput
from functions.runtime.knative.traffic import Arm

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Part:
    """What went to one arm, by its positions in the whole, and what came back. `sent` is the body of the request."""

    arm: Arm
    positions: Sequence[int]
    answer: Answer
    sent: bytes = b""


@dataclass(frozen=True, slots=True)
class Share:
    """What is to go to one arm; with an `error` it cannot be sent, and `body` has what is known of its items."""

    positions: Sequence[int]
    body: bytes
    error: TidegateError | None = None


def share(positions: Sequence[int], take: Callable[[], bytes], known: Callable[[], bytes] = bytes) -> Share:
    """An arm's share by `take`; where that cannot be written, `known` is kept instead."""
    try:
        return Share(positions, take())
    except TidegateError as error:
        return Share(positions, known(), error)


def positions_by_arm(arms: Sequence[Arm]) -> dict[Arm, list[int]]:
    """From the arm of each item to the ascending positions of each arm's items; never an empty part."""
    positions: dict[Arm, list[int]] = {}
    for position, arm in enumerate(arms):
        positions.setdefault(arm, []).append(position)
    return positions


def in_order(parts: Iterable[tuple[Sequence[int], Sequence[T]]]) -> list[T]:
    """The inverse: what belongs to each position, in the order of the positions, which together are 0 to n - 1."""
    placed = {position: item for positions, items in parts for position, item in zip(positions, items, strict=True)}
    return [placed[position] for position in range(len(placed))]


def dump(part: Any) -> bytes:
    """Some of what was parsed, as JSON again.

    Raises InvalidInput: JSON can be read nested four times deeper than it can be written.
    """
    try:
        return orjson.dumps(part)
    except orjson.JSONEncodeError as error:
        raise InvalidInput(f"the request cannot be split between revisions ({error}); nest its data less deep.") from None
