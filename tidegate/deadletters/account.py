"""The account of a replay: what became of each letter, and what is not known. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from tidegate.deadletters.letter import Address

DONE, FAILED, FAILED_AGAIN, NOT_KNOWN = 0, 1, 3, 4
_EXAMPLES = 10


@dataclass(slots=True, kw_only=True)
class Account:
    """The counts of one run. Every selected letter is in one of `replayed`, `held`, `incomplete`, `expired`,
    `refused`, `unacknowledged` and `left`.
    """

    run: str
    topic: str
    to: str
    """Where letters are replayed to, without credentials."""
    read: int = 0
    """All letters that were read, those that do not match included."""
    selected: int = 0
    replayed: int = 0
    found: int = 0
    """Of `replayed`: those that a run which was killed had written already."""
    held: int = 0
    """Other runs have claimed or replayed them meanwhile."""
    incomplete: int = 0
    """They have only a part of their record."""
    expired: int = 0
    """The broker has removed them since they were selected."""
    refused: int = 0
    """The broker does not accept their record."""
    unacknowledged: int = 0
    """Their record was sent, and may be written."""
    succeeded: int | None = None
    """None if results were not waited for."""
    failed_again: int | None = None
    interrupted: bool = False
    examples: list[tuple[Address, str]] = field(default_factory=list)
    """Some letters that were not replayed, with the reason."""

    @property
    def left(self) -> int:
        """Letters that the run has not come to, or given up."""
        settled = self.replayed + self.held + self.incomplete + self.expired + self.refused + self.unacknowledged
        return self.selected - settled

    @property
    def unknown(self) -> int | None:
        """Replayed letters of which no result was seen; None if results were not waited for."""
        return None if self.succeeded is None else self.replayed - self.succeeded - (self.failed_again or 0)

    @property
    def status(self) -> int:
        """The exit status."""
        if self.unacknowledged or self.refused or self.incomplete:
            return FAILED
        if self.failed_again:
            return FAILED_AGAIN
        return NOT_KNOWN if self.unknown else DONE

    def note(self, address: Address, reason: str) -> None:
        if len(self.examples) < _EXAMPLES:
            self.examples.append((address, reason))

    def to_json(self) -> dict[str, Any]:
        found = asdict(self)
        found["examples"] = [{"letter": str(address), "reason": reason} for address, reason in self.examples]
        return {**found, "left": self.left, "unknown": self.unknown}

    def lines(self) -> list[str]:
        """Return the account as sentences."""
        already = f", {self.found:,} of them by a run that was killed" if self.found else ""
        lines = [
            f"run {self.run}: {self.read:,} letters read, {self.selected:,} selected, {self.replayed:,} replayed to {self.to}{already}"
        ]
        rest = (
            (self.held, "were claimed or replayed by another run meanwhile"),
            (self.incomplete, "have only a part of their record, which was too large"),
            (self.expired, "were removed by the topic's retention meanwhile"),
            (self.refused, "were refused by the broker"),
            (self.unacknowledged, "were sent and not acknowledged; the next run looks for them before it sends any of them again"),
            (self.left, "were left as they are"),
        )
        lines += [f"{count:,} {what}" for count, what in rest if count]
        return [*lines, self._results(), *(f"  {address}: {reason}" for address, reason in self.examples)]

    def _results(self) -> str:
        if self.succeeded is None:
            return "results were not waited for; --wait SECONDS counts them"
        unknown = f", {self.unknown:,} without a result so far" if self.unknown else ""
        return f"{self.succeeded:,} succeeded, {self.failed_again or 0:,} failed again{unknown}"
