"""Where a run keeps its parts and its state until the output is complete, and the names of everything that it writes.

A file is assembled from its parts, and a local folder is renamed, when all parts are there. In an object store, and in
a folder that an incremental run adds to, the parts are in their place at once, and `_SUCCESS` says that they are all.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from functions.batch.errors import InvalidManifest, RunConflict, WriteFailed
from functions.batch.run import manifest
from functions.batch.run.manifest import Entry, Header, Manifest, manifest_of
from functions.batch.run.plan import PartId
from functions.batch.storage import Policy, Sink, Target, format_of, open_target

_WORK = ".tidegate"
_STATE = "_tidegate/"
_HEADER = "run.json"
_ENTRIES = "entries/"
# Bytes of a manifest: a row group of a thousand million rows has some megabytes.
_MAX_BYTES = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The names of a run, relative to the folder or prefix `root`."""

    root: str
    output: str
    """The name of the output; empty if it is `root` itself."""

    format: str
    """The format of the output."""

    is_file: bool
    work: str
    """The prefix of the parts and of the state, with a slash at its end, or empty."""

    @property
    def state(self) -> str:
        """The prefix of the state."""
        return self.work + _STATE

    @property
    def manifest(self) -> str:
        """The name of the manifest of the complete output."""
        return f"{self.output}.manifest.json" if self.is_file else self._inside(manifest.NAME)

    @property
    def rejects(self) -> str:
        """The name of the file of rejected rows."""
        return f"{self.output}.rejects.jsonl" if self.is_file else self._inside("_rejects.jsonl")

    @property
    def success(self) -> str:
        """The name of the mark of a complete folder."""
        return self._inside(manifest.SUCCESS)

    @property
    def in_place(self) -> bool:
        """Whether the parts are written where the output is."""
        return not self.is_file and self.work == self._inside("")

    @property
    def part_extension(self) -> str:
        """Parts of a file are Arrow, which is the fastest to write and to read once."""
        return ".arrow" if self.is_file else {"parquet": ".parquet", "csv": ".csv", "jsonl": ".jsonl", "arrow": ".arrow"}[self.format]

    def _inside(self, name: str) -> str:
        return f"{self.output}/{name}" if self.output else name


def layout_of(output: str, *, add: bool = False) -> Layout:
    """Return the names of a run for an output; `add` is for a run that adds to a folder that exists."""
    plain = output.rstrip("/") or output
    found = format_of(plain)
    is_file = found is not None
    parent, _, name = plain.rpartition("/")
    is_remote = "://" in plain
    if is_remote and not is_file:
        return Layout(root=plain, output="", format="parquet", is_file=False, work="")
    root = parent or ("/" if plain.startswith("/") else ".")
    work = f"{name}/" if add and not is_file else f"{name}{_WORK}/"
    return Layout(root=root, output=name, format=found or "parquet", is_file=is_file, work=work)


class Workspace:
    """The parts and the state of a run."""

    def __init__(self, layout: Layout, policy: Policy) -> None:
        self.layout = layout
        self.target: Target = open_target(layout.root, policy=policy)

    def header(self) -> Header | None:
        """Return what the run is, None if it has not begun. Raises InvalidManifest."""
        name = self.layout.state + _HEADER
        if not self.target.exists(name):
            return None
        return manifest.parse_header(self.target.read(name, _MAX_BYTES), self.target.location(name))

    def save_header(self, header: Header) -> None:
        """Write what the run is."""
        self.target.put_bytes(self.layout.state + _HEADER, header.to_json())

    def manifest(self, header: Header) -> Manifest:
        """Return the run with its finished parts, in an earlier run of an incremental one too."""
        prefix = self.layout.state + _ENTRIES
        entries = [self._entry(name) for name in self.target.list(prefix)]
        published = self.published() if self.layout.in_place else None
        return manifest_of(header, [*(published.entries if published else ()), *entries])

    def has_entries(self) -> bool:
        """Return whether a part is finished."""
        return bool(self.target.list(self.layout.state + _ENTRIES))

    def published(self) -> Manifest | None:
        """Return the manifest of the complete output, None if there is none."""
        name = self.layout.manifest
        if not self.target.exists(name):
            return None
        return manifest.parse_manifest(self.target.read(name, _MAX_BYTES), self.target.location(name))

    def write_part(self, part: PartId, schema: pa.Schema) -> AbstractContextManager[Sink]:
        """Write the file of a part, which appears when the block succeeds."""
        return self.target.write(self.layout.work + self.part_name(part), schema)

    def part_name(self, part: PartId) -> str:
        """The name of the file of a part."""
        return part.name + self.layout.part_extension

    def save_entry(self, entry: Entry) -> None:
        """Note that a part is finished."""
        self.target.put_bytes(f"{self.layout.state}{_ENTRIES}{entry.part.name}.json", entry.to_json())

    def discard(self) -> None:
        """Remove the parts and the state of an unfinished run."""
        self.remove(self.layout.state if self.layout.in_place else self.layout.work)

    def remove(self, prefix: str) -> None:
        """Remove everything below a prefix, which ends with a slash."""
        if self.target.can_rename:
            shutil.rmtree(self.target.location(prefix.rstrip("/")), ignore_errors=True)
            return
        for name in self.target.list(prefix):
            self.target.delete(name)

    @contextmanager
    def lock(self, name: str, *, wait: bool = False) -> Iterator[None]:
        """Keep other processes of this machine from the same work; in an object store parts are equal to the byte.

        Raises RunConflict if one is at it, unless `wait`.
        """
        if not self.target.can_rename:
            yield
            return
        path = Path(self.target.location(self.layout.state + name))
        with _translated(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("a")
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                raise RunConflict(
                    f"another process works on {self.target.location(self.layout.output)}", remedy="wait until it has ended"
                ) from None
            yield

    def _entry(self, name: str) -> Entry:
        content = self.target.read(name, _MAX_BYTES)
        if not content:
            raise InvalidManifest(f"{self.target.location(name)} is empty", remedy="remove it, so that its part is scored again")
        return manifest.parse_entry(content, self.target.location(name))


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WriteFailed(f"cannot write {path}: {error.strerror or error}", remedy="choose another path for the output") from None
