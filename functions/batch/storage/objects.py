"""Object stores by PyArrow's file systems: S3, Google Cloud Storage and Azure Blob Storage."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa
from pyarrow import fs

from functions.batch.errors import InvalidPath, WriteFailed
from functions.batch.storage import formats
from functions.batch.storage.damage import DAMAGED, store_reason, unreachable
from functions.batch.storage.filesystems import filesystem
from functions.batch.storage.locations import Location
from functions.batch.storage.names import MAX_READ_BYTES, checked_name, checked_size
from functions.batch.storage.sinks import Sink
from functions.batch.storage.stores import Found, OpenFile

# A file that is written waits in memory up to this size, then in the temporary folder.
_IN_MEMORY_BYTES = 8 * 2**20
_COPY_BYTES = 4 * 2**20


class ObjectStore:
    """An object store, for reading."""

    def __init__(self, scheme: str) -> None:
        self._scheme = scheme

    def stat(self, location: Location) -> Found | None:
        """Return the object at a location, None for a prefix or nothing."""
        if "/" not in location.path.rstrip("/"):
            return None
        with _reading(location):
            info = _files(location).get_file_info(location.path.rstrip("/"))
        return Found(location.name, location, info.size) if info.type == fs.FileType.File else None

    def walk(self, location: Location) -> Iterator[Found]:
        """Yield the objects below a prefix. Raises InvalidPath when there are none."""
        base = location.path.rstrip("/")
        with _reading(location):
            infos = _files(location).get_file_info(fs.FileSelector(base, recursive=True))
        for info in infos:
            if info.type == fs.FileType.File:
                yield Found(info.path[len(base) + 1 :], Location(self._scheme, info.path), info.size)

    def open(self, location: Location) -> OpenFile:
        """Open an object."""
        with _reading(location):
            return _files(location).open_input_file(location.path)

    def version(self, file: Any) -> str:
        """Return the generation of an open object, its ETag, or what the store has in its place."""
        found = {name.lower(): value.decode() for name, value in (file.metadata() or {}).items()}
        if "generation" in found:  # in Google's store, where the ETag changes with the metadata too
            return f"generation:{found['generation']}"
        tag = found.get("etag") or found.get("last-modified", "")
        return f"etag:{tag.strip(chr(34))}"


class ObjectTarget:
    """A prefix of an object store. An object appears when all of it was sent."""

    is_local = False
    path: Path | None = None

    def __init__(self, place: Location, extension: str) -> None:
        self._place = place
        self._files = _files(place)
        self.extension = extension

    def location(self, name: str) -> str:
        """Return the location of an object, as `open_source` takes it."""
        return self._place.child(checked_name(name)).uri

    @contextmanager
    def write(self, name: str, schema: pa.Schema) -> Iterator[Sink]:
        """Write an object that appears under its name when the block succeeds.

        It is sent when it is complete: PyArrow cannot abandon an upload, and would complete it with what it has.
        """
        with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES) as spool:
            file = cast("BinaryIO", spool)
            sink = Sink(file, schema, kind=formats.required(name, None), name=name, location=tempfile.gettempdir())
            try:
                yield sink
                sink.finish()
            except BaseException:
                sink.abandon()
                raise
            self._send(name, file)

    def put_bytes(self, name: str, content: bytes) -> None:
        """Write a small object."""
        with _writing(self.location(name)), _upload(self._files, self._path(name)) as stream:
            stream.write(content)

    def read(self, name: str) -> bytes:
        """Return the content of a small object. Raises InvalidPath."""
        with _reading(self._place.child(name)), self._files.open_input_file(self._path(name)) as file:
            content = file.read(MAX_READ_BYTES + 1)
        return checked_size(content, self.location(name))

    def exists(self, name: str) -> bool:
        """Return whether an object exists."""
        with _reading(self._place.child(name)):
            return bool(self._files.get_file_info(self._path(name)).type == fs.FileType.File)

    def list(self, prefix: str = "") -> list[str]:
        """Return the names of all objects that begin with a prefix, in order."""
        base = self._place.path.rstrip("/")
        with _reading(self._place):
            infos = self._files.get_file_info(fs.FileSelector(base, recursive=True, allow_not_found=True))
        names = [info.path[len(base) + 1 :] for info in infos if info.type == fs.FileType.File]
        return sorted(name for name in names if name.startswith(prefix))

    def delete(self, name: str) -> None:
        """Remove an object, which may be missing."""
        with _writing(self.location(name)):
            if self.exists(name):
                self._files.delete_file(self._path(name))

    def rename(self, old: str, new: str) -> None:
        """Copy an object to another name, and remove it."""
        with _writing(self.location(new)):
            self._files.copy_file(self._path(old), self._path(new))
        self.delete(old)

    def _path(self, name: str) -> str:
        return self._place.child(checked_name(name)).path

    def _send(self, name: str, file: BinaryIO) -> None:
        file.seek(0)
        with _writing(self.location(name)):
            stream = _upload(self._files, self._path(name))
            shutil.copyfileobj(file, stream, _COPY_BYTES)
            stream.close()


def _upload(files: fs.FileSystem, path: str) -> pa.NativeFile:
    # PyArrow would compress what has the extension of a compressed file once more.
    return files.open_output_stream(path, compression=None)


def _files(location: Location) -> fs.FileSystem:
    return filesystem(location.scheme, location.path.partition("/")[0])


@contextmanager
def _reading(location: Location) -> Iterator[None]:
    try:
        yield
    except DAMAGED as error:
        raise unreachable(str(location), error) from None


@contextmanager
def _writing(location: str) -> Iterator[None]:
    try:
        yield
    except InvalidPath:
        raise
    except DAMAGED as error:
        raise WriteFailed(
            f"cannot write {location} ({store_reason(error)})", remedy="check the location, and the credentials of the store"
        ) from None
