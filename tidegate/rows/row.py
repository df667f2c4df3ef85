"""A row of a file, and the options of reading it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from common.errors import TidegateError
from tidegate.contract import Contract


class UnreadableFile(TidegateError):
    """A file does not exist, or does not have the format of its extension."""


class Row(NamedTuple):
    """One row: `place` names it in the file, `data` are its values without the id.

    `id` and `key` are the text of their columns.
    """

    place: str
    data: dict[str, Any]
    id: str | None = None
    key: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """Options of reading a file.

    `contract` has the inputs of the model; only cells of CSV are converted by it, since the other formats have types.
    `encoding` and `delimiter` are detected if they are None.
    """

    id_column: str = "id"
    key_column: str | None = None
    contract: Contract | None = None
    encoding: str | None = None
    delimiter: str | None = None


def check_unique(names: list[str], path: Path) -> None:
    """Check that no column has the name of another. Raises UnreadableFile."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UnreadableFile(f"{path} has the column {', '.join(map(repr, twice))[:300]} more than once", remedy="rename one")
