"""What a route of a replay does with letters that its run has claimed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from common.errors import TidegateError
from eventing.deadletter import Place
from tidegate.deadletters.letter import Address, Letter


@dataclass(slots=True)
class Delivered:
    """What became of some claimed letters. Each is in one of the lists, by its offset, unless it was not sent."""

    replayed: list[int] = field(default_factory=list)
    refused: list[tuple[Address, str]] = field(default_factory=list)
    """Letters whose records the broker does not accept."""
    unacknowledged: list[int] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    """Where the records of replayed letters are in their source topic."""
    succeeded: int = 0
    failed_again: int = 0
    error: TidegateError | None = None
    """Why the run ends here; it also ends where a record is not acknowledged."""


class Route(Protocol):
    """A way to replay letters: to their source topics, or through the model."""

    @property
    def lease_seconds(self) -> float:
        """How long a chunk takes at most, with a margin: other runs wait for so long before they take it over."""
        ...

    def topics(self, letters: Sequence[Letter]) -> set[str]:
        """Return the topics that the letters' records are written to."""
        ...

    def make_room(self, letters: Sequence[Letter]) -> bool:
        """Wait until these letters may be sent; False if stopped meanwhile."""
        ...

    def deliver(self, letters: Sequence[Letter]) -> Delivered:
        """Write the records of these letters, and return when it is known what became of them."""
        ...
