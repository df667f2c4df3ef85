"""Splitting one request into a part for each arm, and joining what belongs to its items in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson

from common.errors import TidegateError
from functions.router.headers import RawHeaders
from functions.router.reply import CompleteReply
from functions.runtime.errors import BadAnswer, InvalidInput
from functions.runtime.knative.traffic import Arm

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Part:
    """The items of one arm, by their positions in the request, and its reply. `sent` is the body that the arm got."""

    arm: Arm
    positions: Sequence[int]
    reply: CompleteReply
    sent: bytes = b""

    @property
    def status(self) -> int:
        """The status of the reply."""
        return self.reply.status

    @property
    def headers(self) -> RawHeaders:
        """The headers of the reply."""
        return self.reply.headers

    @property
    def content(self) -> bytes:
        """The body of the reply."""
        return self.reply.body


class UnusableReply(BadAnswer):
    """The reply to a part is a success by its status, but cannot be joined with the others."""

    def __init__(self, part: Part, message: str) -> None:
        super().__init__(message, remedy="see its log")
        self.part = part


@dataclass(frozen=True, slots=True)
class Share:
    """The body to send to one arm, and the length of its JSON part if binary tensors follow.

    With an `error` it cannot be sent, and `body` has what is known of its items. `items` are those of `Assigned`.
    """

    positions: Sequence[int]
    items: tuple[int | None, ...]
    body: bytes
    error: TidegateError | None = None
    json_length: int | None = None


def share(positions: Sequence[int], items: Sequence[int | None], take: Callable[[], bytes], known: Callable[[], bytes]) -> Share:
    """An arm's share, written by `take`; where that raises, with the error and the body by `known`.

    `items` are those of the whole request.
    """
    own = tuple([items[position] for position in positions])
    try:
        return Share(positions, own, take())
    except TidegateError as error:
        return Share(positions, own, known(), error)


def positions_by_arm(arms: Sequence[Arm]) -> dict[Arm, list[int]]:
    """From the arm of each item to the ascending positions of each arm's items; no arm is without items."""
    positions: dict[Arm, list[int]] = {}
    # By identity, since the hash of an arm is that of all of its fields.
    lists: dict[int, list[int]] = {}
    for position, arm in enumerate(arms):
        found = lists.get(id(arm))
        if found is None:
            found = lists[id(arm)] = positions.setdefault(arm, [])
        found.append(position)
    return positions


def in_order(parts: Iterable[tuple[Sequence[int], Sequence[T]]]) -> list[T]:
    """The items of all parts in the order of their positions, which together are 0 to n - 1."""
    placed = {position: item for positions, items in parts for position, item in zip(positions, items, strict=True)}
    return list(map(placed.__getitem__, range(len(placed))))


def dump(part: Any) -> bytes:
    """Serialize a part of a parsed document.

    Raises InvalidInput: orjson parses JSON nested four times deeper than it serializes.
    """
    try:
        return orjson.dumps(part)
    except orjson.JSONEncodeError as error:
        raise InvalidInput(f"the request cannot be split between revisions ({error})", remedy="nest its data less deeply") from None
