"""Where a run keeps its parts and its state until the output is complete, and the names of everything that it writes.

A file is assembled from its parts, and a local folder is renamed, when all parts are there. In an object store, and in
a folder that an incremental run adds to, the parts are in their place at once, and `_SUCCESS` says that they are all.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from functions.batch.errors import RunConflict, WriteFailed
from functions.batch.run import manifest
from functions.batch.run.manifest import Entry, Header, Manifest, manifest_of
from functions.batch.run.plan import PartId
from functions.batch.storage import Policy, Sink, Target, format_of, locations, open_target
from functions.batch.storage.names import write_failed

_WORK = ".tidegate"
_STATE = "_tidegate/"
_HEADER = f"{_STATE}run.json"
_ENTRIES = f"{_STATE}entries/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The names of a run."""

    output: str
    """The location of the output."""

    parent: str
    """The folder or prefix that the output is in."""

    name: str
    """The name of the output in it."""

    work: str
    """The location of the parts and of the state."""

    is_file: bool
    format: str
    """The format of the output."""

    @property
    def in_place(self) -> bool:
        """Whether the parts are written where the output is."""
        return self.work == self.output

    @property
    def manifest(self) -> str:
        """The name of the manifest of the complete output: beside a file, in a folder."""
        return f"{self.name}.manifest.json" if self.is_file else manifest.NAME

    @property
    def rejects(self) -> str:
        """The name of the file of rejected rows."""
        return f"{self.name}.rejects.jsonl" if self.is_file else "_rejects.jsonl"

    @property
    def part_extension(self) -> str:
        """Parts of a file are Arrow streams, which are the fastest to write and to read once."""
        return ".arrows" if self.is_file else ".parquet"


def layout_of(output: str, *, add: bool = False) -> Layout:
    """Return the names of a run for an output; `add` is for a run that adds to a folder that exists."""
    plain = output.rstrip("/") or output
    parent, slash, name = plain.rpartition("/")
    found = format_of(name)
    is_file = found is not None
    in_place = not is_file and (add or "://" in plain)
    return Layout(
        output=plain,
        parent=parent or slash or ".",
        name=name,
        work=plain if in_place else plain + _WORK,
        is_file=is_file,
        format=found.name if found else "parquet",
    )


class Workspace:
    """The parts and the state of a run: `work` has them, `place` gets a file, and `folder` is a complete folder."""

    def __init__(self, layout: Layout, policy: Policy) -> None:
        self.layout = layout
        self.policy = policy
        policy.check(locations.parse(layout.output))
        self.work: Target = open_target(layout.work, policy=policy)

    @property
    def place(self) -> Target:
        """The folder of the output file and of its manifest, or the output folder."""
        return open_target(self.layout.parent if self.layout.is_file else self.layout.output, policy=self.policy)

    @property
    def local_output(self) -> Path | None:
        """The path of the output, None in an object store."""
        return None if self.work.path is None else self.work.path.with_name(self.layout.name)

    @property
    def in_output(self) -> Workspace:
        """That of a run that adds to the output; and the state in a folder that was just renamed to it."""
        return Workspace(layout_of(self.layout.output, add=True), self.policy)

    def output_exists(self) -> bool:
        """Return whether there is anything at the output, apart from an unfinished run of an incremental one."""
        if self.local_output is not None:
            return self.local_output.exists() or self.local_output.is_symlink()
        return self.place.exists(self.layout.name if self.layout.is_file else manifest.SUCCESS)

    def header(self) -> Header | None:
        """Return what the run is, None if it has not begun. Raises InvalidManifest."""
        content = _content(self.work, _HEADER)
        return manifest.parse_header(content, self.work.location(_HEADER)) if content else None

    def save_header(self, header: Header) -> None:
        """Write what the run is."""
        self.work.put_bytes(_HEADER, header.to_json())

    def manifest(self, header: Header) -> Manifest:
        """Return the run with its finished parts, those of earlier runs that it adds to included."""
        contents = {name: self.work.read(name) for name in self.work.list(_ENTRIES)}
        entries = [manifest.parse_entry(content, self.work.location(name)) for name, content in contents.items() if content]
        earlier = self.published() if header.incremental else None
        return manifest_of(header, [*(earlier.entries if earlier else ()), *entries])

    def has_entries(self) -> bool:
        """Return whether a part is finished."""
        return bool(self.work.list(_ENTRIES))

    def is_complete(self) -> bool:
        """Return whether the output has its last mark; a file has none but its manifest."""
        return self.layout.is_file or self.place.exists(manifest.SUCCESS)

    def published(self) -> Manifest | None:
        """Return the manifest of the complete output, None if there is none."""
        if self.local_output is not None and not (self.layout.is_file or self.local_output.is_dir()):
            return None
        content = _content(self.place, self.layout.manifest)
        return manifest.parse_manifest(content, self.place.location(self.layout.manifest)) if content else None

    def write_part(self, part: PartId, schema: pa.Schema) -> AbstractContextManager[Sink]:
        """Write the file of a part, which appears when the block succeeds."""
        return self.work.write(self.part_name(part), schema)

    def part_name(self, part: PartId) -> str:
        """The name of the file of a part."""
        return part.name + self.layout.part_extension

    def save_entry(self, entry: Entry) -> None:
        """Note that a part is finished."""
        self.work.put_bytes(f"{_ENTRIES}{entry.part.name}.json", entry.to_json())

    def discard(self) -> None:
        """Remove the state of an unfinished run, and its parts unless they are in their place."""
        prefix = _STATE if self.layout.in_place else ""
        ignored = (WriteFailed,) if self.work.is_local else ()
        # What names the run goes last: the rest of it is found again after a kill.
        for name in sorted(self.work.list(prefix), key=_HEADER.__eq__):
            with suppress(*ignored):
                self.work.delete(name)
        if self.work.path is not None:
            shutil.rmtree(self.work.path / prefix, ignore_errors=True)

    @contextmanager
    def lock(self, name: str, *, wait: bool = False) -> Iterator[None]:
        """Keep other processes of this machine from the same work; in an object store parts are equal to the byte.

        Raises RunConflict if one is at it, unless `wait`.
        """
        if self.work.path is None:
            yield
            return
        path = self.work.path / _STATE / name
        with _translated(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("a")
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                raise RunConflict(f"another process works on {self.layout.output}", remedy="wait until it has ended") from None
            yield


def _content(target: Target, name: str) -> bytes:
    """Return the content of a file, empty if there is none.

    An object in Azure is empty from the beginning of its upload, and stays so when the process is killed.
    """
    return target.read(name) if target.exists(name) else b""


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise write_failed(str(path), error) from None
