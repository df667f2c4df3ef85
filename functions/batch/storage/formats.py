"""Formats of files and their compression, by extension. Pure functions."""

from __future__ import annotations

from typing import NamedTuple

from functions.batch.errors import InvalidPath

FORMATS = ("parquet", "csv", "jsonl", "arrow")

_EXTENSIONS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".arrow": "arrow",
    ".arrows": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
}
_COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
_COMPRESSIBLE = ("csv", "jsonl")


class Format(NamedTuple):
    """A format and the compression of the whole file, None for none."""

    name: str
    compression: str | None = None


def format_of(name: str) -> Format | None:
    """Return the format that the extension of a name stands for, as in `rows.csv.gz`; None for an unknown one."""
    lower = name.lower()
    compression = next((kind for end, kind in _COMPRESSIONS.items() if lower.endswith(end)), None)
    if compression:
        lower = lower.rpartition(".")[0]
    found = next((kind for end, kind in _EXTENSIONS.items() if lower.endswith(end)), None)
    if found is None or (compression and found not in _COMPRESSIBLE):
        return None
    return Format(found, compression)


def named(text: str) -> str:
    """Return the name of a format. Raises InvalidPath for an unknown one."""
    if text not in FORMATS:
        raise InvalidPath(f"the format {text[:40]!r} is not supported", remedy=f"use one of {', '.join(FORMATS)}")
    return text


def required(name: str, wanted: str | None) -> Format:
    """Return the format of a file: the wanted one, else by extension. Raises InvalidPath when neither is known."""
    found = format_of(name)
    if wanted is None and found is None:
        raise InvalidPath(f"the format of {name} is not known by its extension", remedy=f"name the format: {', '.join(FORMATS)}")
    if wanted is None and found is not None:
        return found
    compression = next((kind for end, kind in _COMPRESSIONS.items() if name.lower().endswith(end)), None)
    return Format(named(wanted or ""), compression if wanted in _COMPRESSIBLE else None)
