"""A row of a file, and what is known of the file before it is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from common.errors import TidegateError
from tidegate.contract import Contract


class UnreadableFile(TidegateError):
    """A file is not there, or is not what its name says."""


class Row(NamedTuple):
    """One row: `place` names it in the file, `id` and `key` are the texts of these columns, `data` are the others and the key's."""

    place: str
    data: dict[str, Any]
    id: str | None = None
    key: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What is known of a file before it is read.

    `contract` is what the model takes: only cells of CSV are read by it, since the other formats have types of their own. `encoding` and
    `delimiter` are found out where they are None.
    """

    id_column: str = "id"
    key_column: str | None = None
    contract: Contract | None = None
    encoding: str | None = None
    delimiter: str | None = None


def check_unique(names: list[str], path: Path) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UnreadableFile(f"{path} has the column {', '.join(map(repr, twice))[:300]} more than once; rename one.")
