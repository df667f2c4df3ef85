"""How far a run is, and what came of it. Values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The state of a running batch: `rows` of `total_rows`, None if not known, of which `resumed` were there before."""

    rows: int
    total_rows: int | None
    seconds: float
    rejects: int = 0
    resumed: int = 0
    in_flight: int = 0

    @property
    def rate(self) -> float:
        """Rows a second in this attempt."""
        return (self.rows - self.resumed) / max(self.seconds, 1e-9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The result of a batch; `revisions` are the rows by the revision that scored them, as far as it is known."""

    run: str = ""
    rows: int
    seconds: float
    scored: int = 0
    """The rows that this attempt scored."""

    rejects: int = 0
    revisions: Mapping[str, int] = field(default_factory=dict)
    digest: str = ""
    complete: bool = True
    """Whether the output is there: a shard that ends before the others leaves it to them."""

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as JSON values."""
        rate = round(self.scored / self.seconds, 1) if self.seconds else 0.0
        return {**asdict(self), "seconds": round(self.seconds, 3), "rows_per_second": rate}
