"""The manifest of a run: what is scored, with which model, and what is finished. Values, and their JSON."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson

from functions.batch.errors import InvalidManifest, first_line
from functions.batch.run.plan import PART_ROWS, PartId, span_count

FORMAT = 1
NAME = "_manifest.json"
SUCCESS = "_SUCCESS"


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFile:
    """A file of the input, as it was when the run began; `rows` is None until the end of the file was read."""

    name: str
    size: int
    version: str
    rows: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """The model that a run asks, by its metadata; digests are None where the metadata does not report them."""

    name: str
    versions: tuple[str, ...] = ()
    signature: str = ""
    card_sha256: str | None = None
    artifact_sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a run is: equal for all of its processes, and for each attempt after a failure."""

    run: str
    model: ModelInfo
    files: tuple[InputFile, ...]
    key: str | None
    revision: str | None
    format: str
    started: str
    incremental: bool = False
    """Whether it adds to the parts of an output that is there."""

    def to_json(self) -> bytes:
        """Serialize the header."""
        return orjson.dumps({"format_version": FORMAT, "part_rows": PART_ROWS, **asdict(self)}, option=orjson.OPT_INDENT_2)


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedRow:
    """A row that was not scored: its number in the file, from 0, where it is for a person, and the reason."""

    row: int
    position: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A finished part; `last` ends its file. `revisions` are the rows by the revision that scored them."""

    file: int
    span: int
    read: int
    rows: int
    name: str
    size: int
    digest: str
    last: bool
    revisions: Mapping[str, int] = field(default_factory=dict)
    rejects: tuple[RejectedRow, ...] = ()

    @property
    def part(self) -> PartId:
        """The part."""
        return PartId(self.file, self.span)

    def to_json(self) -> bytes:
        """Serialize the entry."""
        return orjson.dumps(asdict(self))


@dataclass(frozen=True, slots=True)
class Manifest:
    """A run with its finished parts, in the order of the dataset."""

    header: Header
    entries: tuple[Entry, ...]

    @property
    def file_rows(self) -> list[int | None]:
        """The rows of each file, as far as they are known."""
        ends = {entry.file: entry.span * PART_ROWS + entry.read for entry in self.entries if entry.last}
        return [ends.get(number, item.rows) for number, item in enumerate(self.header.files)]

    @property
    def finished(self) -> dict[int, set[int]]:
        """The finished spans by file."""
        found: dict[int, set[int]] = {}
        for entry in self.entries:
            found.setdefault(entry.file, set()).add(entry.span)
        return found

    @property
    def is_complete(self) -> bool:
        """Whether all parts of all files are finished."""
        finished = self.finished
        return all(rows is not None and len(finished.get(number, ())) == span_count(rows) for number, rows in enumerate(self.file_rows))

    @property
    def digest(self) -> str:
        """The digest of the dataset: SHA-256 of the digests of its parts (`sha256:…`), in their order."""
        return "sha256:" + hashlib.sha256(b"".join(entry.digest.encode() for entry in self.entries)).hexdigest()

    @property
    def rows(self) -> int:
        """The rows of the output."""
        return sum(entry.rows for entry in self.entries)

    @property
    def rejects(self) -> int:
        """The rows that were not scored."""
        return sum(len(entry.rejects) for entry in self.entries)

    @property
    def revisions(self) -> dict[str, int]:
        """The rows by the revision that scored them."""
        total: Counter[str] = Counter()
        for entry in self.entries:
            total.update(entry.revisions)
        return dict(sorted(total.items()))

    def to_json(self, **more: Any) -> bytes:
        """Serialize a complete manifest, with the digest and the totals; `more` are further fields."""
        document = orjson.loads(self.header.to_json())
        for item, rows in zip(document["files"], self.file_rows, strict=True):
            item["rows"] = rows
        totals = {"rows": self.rows, "rejects": self.rejects, "revisions": self.revisions, "digest": self.digest}
        parts = [asdict(entry) for entry in self.entries]
        return orjson.dumps({**document, **totals, **more, "parts": parts}, option=orjson.OPT_INDENT_2)


def manifest_of(header: Header, entries: Iterable[Entry]) -> Manifest:
    """Return the manifest of a header and its entries in any order, some perhaps repeated."""
    by_part = {entry.part: entry for entry in entries}
    return Manifest(header, tuple(by_part[part] for part in sorted(by_part)))


def parse_manifest(content: bytes, place: str) -> Manifest:
    """Parse what `Manifest.to_json` wrote. Raises InvalidManifest."""
    document = _document(content, place)
    try:
        return manifest_of(_header(document), [_entry(item) for item in document["parts"]])
    except (KeyError, TypeError, ValueError) as error:
        raise _invalid(place, error) from None


def parse_header(content: bytes, place: str) -> Header:
    """Parse what `Header.to_json` wrote. Raises InvalidManifest."""
    try:
        return _header(_document(content, place))
    except (KeyError, TypeError, ValueError) as error:
        raise _invalid(place, error) from None


def parse_entry(content: bytes, place: str) -> Entry:
    """Parse what `Entry.to_json` wrote. Raises InvalidManifest."""
    try:
        return _entry(_document(content, place))
    except (KeyError, TypeError, ValueError) as error:
        raise _invalid(place, error) from None


def _document(content: bytes, place: str) -> dict[str, Any]:
    try:
        found = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise _invalid(place, error) from None
    if not isinstance(found, dict):
        raise _invalid(place, TypeError("not an object"))
    return found


def _header(document: Mapping[str, Any]) -> Header:
    if (document["format_version"], document["part_rows"]) != (FORMAT, PART_ROWS):
        raise ValueError(f"format {document['format_version']} with parts of {document['part_rows']} rows")
    names: Sequence[str] = ("run", "key", "revision", "format", "started", "incremental")
    model = ModelInfo(**{**document["model"], "versions": tuple(document["model"]["versions"])})
    return Header(model=model, files=tuple(InputFile(**item) for item in document["files"]), **{name: document[name] for name in names})


def _entry(document: Mapping[str, Any]) -> Entry:
    return Entry(**{**document, "rejects": tuple(RejectedRow(**item) for item in document["rejects"])})


def _invalid(place: str, error: Exception) -> InvalidManifest:
    reason = first_line(error)
    return InvalidManifest(f"{place} is not a manifest of a batch ({reason})", remedy="start again with --overwrite")
