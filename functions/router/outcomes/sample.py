"""A sample of the replies in a window, for their scores."""

from __future__ import annotations

import random
from collections.abc import Sequence
from heapq import heappop, heappush
from typing import NamedTuple

from eventing.outcome import MOST_SCORES

# A request whose replies have more bytes for an item is not sampled: those that are kept have at most 1 MiB.
MOST_ITEM_BYTES = 4 * 1024

Headers = Sequence[tuple[bytes, bytes]]


class Draw(NamedTuple):
    """A request of a caller: the number of its items, and a random number of it, which all of its parts share."""

    items: int
    number: float

    @classmethod
    def of(cls, items: int) -> Draw:
        """The draw of a new request."""
        return cls(items, random.random())  # noqa: S311 not for secrets


class SampledReply(NamedTuple):
    """A reply, or the reply to a part of a request, with its items as in `Assigned`."""

    revision: str
    items: tuple[int | None, ...]
    body: bytes
    headers: Headers = ()


class Sample:
    """The replies to the requests with the smallest numbers, which have at most `most` items together.

    Numbers are drawn before the requests are sent, and a request is in the sample with all of its parts or with none.
    So whether an item is in the sample does not depend on its arm, as it would if the first replies were taken, or the
    replies up to a size: what counts is the size of all parts together.
    """

    def __init__(self, most: int = MOST_SCORES) -> None:
        self._most = most
        self._below = 1.0
        self._size = 0
        self._requests: list[tuple[float, int]] = []  # a heap by the negative number: the largest one is first
        self._replies: dict[float, list[SampledReply]] = {}
        self._bytes: dict[float, int] = {}

    def takes(self, draw: Draw) -> bool:
        """Whether a request would be in the sample."""
        return draw.number < self._below and draw.items <= self._most

    def add(self, draw: Draw, reply: SampledReply) -> None:
        """Add a reply if its request is in the sample, which may then lose others."""
        if not self.takes(draw):
            return
        size = self._bytes[draw.number] = self._bytes.get(draw.number, 0) + len(reply.body)
        is_small = size <= MOST_ITEM_BYTES * draw.items
        replies = self._replies.get(draw.number)
        if replies is not None:
            self._replies[draw.number] = [*replies, reply] if is_small else []
            return
        self._replies[draw.number] = [reply] if is_small else []
        heappush(self._requests, (-draw.number, draw.items))
        self._size += draw.items
        while self._size > self._most:
            number, items = heappop(self._requests)
            self._below = -number
            self._size -= items
            del self._replies[-number], self._bytes[-number]

    def replies(self) -> list[SampledReply]:
        """The replies in the sample."""
        return [reply for replies in self._replies.values() for reply in replies]


class FailedReplies:
    """The replies that report failed events, of the requests with the smallest numbers, within `most` bytes.

    A request is kept with all parts of its reply or with none, and counts with the bytes of all, also of those that
    report no failure: by its own size alone, a canary's small part would be kept where the others' large one is not.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._below = 1.0
        self._size = 0
        self._sizes: dict[float, int] = {}
        self._requests: list[float] = []  # a heap by the negative number: the largest one is first
        self._replies: dict[float, list[SampledReply]] = {}

    def add(self, draw: Draw, reply: SampledReply, *, has_failed: bool) -> None:
        """Add a part of the reply to a batch; it is kept only if it reports a failed event."""
        number, size = draw.number, len(reply.body)
        if number >= self._below:
            return
        self._sizes[number] = self._sizes.get(number, 0) + size
        if number in self._replies:
            self._size += size
        elif has_failed:
            self._replies[number] = []
            heappush(self._requests, -number)
            self._size += self._sizes[number]
        if has_failed:
            self._replies[number].append(reply)
        while self._size > self._most:
            self._below = -heappop(self._requests)
            self._size -= self._sizes[self._below]
            del self._replies[self._below]

    def replies(self) -> list[SampledReply]:
        """The replies that are kept."""
        return [reply for replies in self._replies.values() for reply in replies]
