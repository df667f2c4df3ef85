"""Where a dataset is written: a folder or the prefix of an object store, in which files appear complete or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Protocol

import pyarrow as pa

from functions.batch.errors import InvalidPath
from functions.batch.storage import formats, locations
from functions.batch.storage.locations import Location
from functions.batch.storage.names import MAX_READ_BYTES, checked_name, checked_size, write_failed
from functions.batch.storage.policy import Policy
from functions.batch.storage.sinks import Sink

_EXTENSIONS = {"parquet": ".parquet", "csv": ".csv", "jsonl": ".jsonl", "arrow": ".arrow"}
_TEMPORARY = ".part"


class Target(Protocol):
    """A place for the files of a dataset; names are relative, with slashes. Raises InvalidPath and WriteFailed."""

    extension: str
    """That of the target's format."""

    is_local: bool
    path: Path | None
    """The local folder, None in an object store."""

    def location(self, name: str) -> str:
        """Return the location of a file, as `open_source` takes it."""

    def write(self, name: str, schema: pa.Schema) -> AbstractContextManager[Sink]:
        """Write a file that appears under its name when the block succeeds; its extension names the format."""

    def put_bytes(self, name: str, content: bytes) -> None:
        """Write a small file at once."""

    def read(self, name: str) -> bytes:
        """Return the content of a small file. Raises InvalidPath when it does not exist, or is larger than 64 MiB."""

    def exists(self, name: str) -> bool:
        """Return whether a file exists."""

    def list(self, prefix: str = "") -> list[str]:
        """Return the names of all files that begin with a prefix, in order."""

    def delete(self, name: str) -> None:
        """Remove a file, which may be missing."""

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, in place of a file that has it; in an object store by a copy."""


def open_target(
    location: str,
    *,
    format: str | None = None,  # noqa: A002 the name in requests
    policy: Policy,
) -> Target:
    """Open a folder or prefix for writing; a folder is made with its first file, if the one above it exists.

    Raises InvalidPath when the location is not allowed or cannot be written.
    """
    place = locations.parse(location)
    extension = _EXTENSIONS[formats.named(format)] if format else ".parquet"
    policy.check(place)
    if place.is_local:
        return LocalTarget(place, policy, extension)
    if place.is_web:
        raise InvalidPath(f"{place} cannot be written", remedy="write to a folder or an object store")
    from functions.batch.storage.objects import ObjectTarget

    return ObjectTarget(place, extension)


class LocalTarget:
    """A folder of this machine."""

    is_local = True

    def __init__(self, place: Location, policy: Policy, extension: str) -> None:
        self._policy = policy
        self.extension = extension
        self.path: Path | None
        root = self.path = self._root = Path(place.path).resolve()
        try:
            if not root.parent.is_dir():
                raise InvalidPath(f"folder {root.parent} of the output not found", remedy="create it first")
            if root.exists() and not root.is_dir():
                raise InvalidPath(f"{place} is not a folder", remedy="choose another name")
        except OSError as error:
            raise InvalidPath(f"cannot write {place}: {error.strerror}", remedy="choose another path for the output") from None

    def location(self, name: str) -> str:
        return str(self._root / checked_name(name))

    @contextmanager
    def write(self, name: str, schema: pa.Schema) -> Iterator[Sink]:
        location = self.location(name)
        with self._new_file(name) as (file, publish):
            sink = Sink(file, schema, kind=formats.required(name, None), name=name, location=location)
            try:
                yield sink
                sink.finish()
                publish()
            except BaseException:
                sink.abandon()
                raise

    def put_bytes(self, name: str, content: bytes) -> None:
        with self._new_file(name) as (file, publish), self._translated(name):
            file.write(content)
            publish()

    def read(self, name: str) -> bytes:
        try:
            with self._path(name).open("rb") as file:
                content = file.read(MAX_READ_BYTES + 1)
        except OSError as error:
            raise InvalidPath(f"cannot read {self.location(name)}: {error.strerror}", remedy="check the path and its permissions") from None
        return checked_size(content, self.location(name))

    def exists(self, name: str) -> bool:
        return self._path(name).is_file()

    def list(self, prefix: str = "") -> list[str]:
        found = [(Path(folder) / file).relative_to(self._root).as_posix() for folder, _, files in os.walk(self._root) for file in files]
        return sorted(name for name in found if name.startswith(prefix) and not name.endswith(_TEMPORARY))

    def delete(self, name: str) -> None:
        with self._translated(name):
            self._path(name).unlink(missing_ok=True)

    def rename(self, old: str, new: str) -> None:
        with self._translated(new):
            self._path(new).parent.mkdir(parents=True, exist_ok=True)
            self._path(old).replace(self._path(new))

    def _path(self, name: str) -> Path:
        """Return the path of a name; a link on the way must not lead out of the allowed folders."""
        path = self._root / checked_name(name)
        self._policy.check(Location("file", str(path.parent)))
        return path

    @contextmanager
    def _new_file(self, name: str) -> Iterator[tuple[BinaryIO, Callable[[], None]]]:
        """Open a temporary file, with the function that gives it its name; without that it is removed."""
        path = self._path(name)
        temporary = path.with_name(f".{path.name[:200]}.{os.getpid()}-{os.urandom(4).hex()}{_TEMPORARY}")
        with self._translated(name):
            path.parent.mkdir(parents=True, exist_ok=True)
            file = temporary.open("xb")

        def publish() -> None:
            with self._translated(name):
                file.flush()
                # On the disk before the name: else a machine that fails could leave a complete name without content.
                os.fsync(file.fileno())
                file.close()
                temporary.replace(path)

        try:
            yield file, publish
        finally:
            with suppress(OSError):  # what a full disk did not take
                file.close()
            temporary.unlink(missing_ok=True)

    @contextmanager
    def _translated(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise write_failed(self.location(name), error) from None
