"""Patterns of file names, and the columns that the names of folders stand for (Hive partitions). Pure functions."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from urllib.parse import unquote

import pyarrow as pa

# The value of a partition whose rows have none (Apache Hive).
_NULL = "__HIVE_DEFAULT_PARTITION__"
_PARTS = re.compile(r"(\*|\?|\[!?[^\]]+\])")
_INTEGER = re.compile(r"-?(0|[1-9]\d{0,17})")


def matcher(pattern: str) -> Callable[[str], bool]:
    """Return the test for a pattern: `*`, `?` and `[…]` within a segment, `**` for any number of folders."""
    *folders, file = pattern.split("/")
    above = "".join("(?:[^/]+/)*" if folder == "**" else f"{_segment(folder)}/" for folder in folders)
    compiled = re.compile(above + (".*" if file == "**" else _segment(file)), re.DOTALL)
    return lambda name: compiled.fullmatch(name) is not None


def _segment(text: str) -> str:
    return "".join(map(_part, _PARTS.split(text)))


def _part(text: str) -> str:
    if text.startswith("[") and len(text) > 2:
        inner = re.escape(text[1:-1]).replace(r"\-", "-")
        return f"[^/{inner[1:]}]" if inner.startswith("!") else f"[{inner}]"
    return {"*": "[^/]*", "?": "[^/]"}.get(text, re.escape(text))


def is_hidden(name: str) -> bool:
    """Return whether a segment of a relative name marks metadata, as in `_SUCCESS` and `.part-0.crc`.

    The name of a partition may begin with an underscore.
    """
    *folders, file = name.split("/")
    return file.startswith(("_", ".")) or any(folder.startswith(("_", ".")) and "=" not in folder for folder in folders)


def partition_of(name: str) -> dict[str, str | None]:
    """Return the columns and values that the folders of a relative name stand for, as in `date=2026-11-27/a.parquet`."""
    pairs = [folder.partition("=") for folder in name.split("/")[:-1] if "=" in folder]
    return {unquote(key): None if value == _NULL else unquote(value) for key, _, value in pairs if key}


def partition_types(names: Sequence[str]) -> dict[str, pa.DataType]:
    """Return the columns of the partitions of some files: integers where all values are, else strings."""
    values: dict[str, list[str | None]] = {}
    for name in names:
        for key, value in partition_of(name).items():
            values.setdefault(key, []).append(value)
    return {key: pa.int64() if _are_integers(found) else pa.string() for key, found in values.items()}


def _are_integers(values: Sequence[str | None]) -> bool:
    known = [value for value in values if value is not None]
    return bool(known) and all(map(_INTEGER.fullmatch, known))
