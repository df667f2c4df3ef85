"""A file that is written: rows in, and its digest when it is complete."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO

import pyarrow as pa

from functions.batch.storage.encoders import encoder
from functions.batch.storage.formats import Format
from functions.batch.storage.groups import Groups
from functions.batch.storage.names import write_failed

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class Sink:
    """A file of one format. Its bytes depend on the schema and the rows, not on how they were cut into batches.

    `rows` counts from the start; `bytes` and `sha256` are those of the complete file.
    """

    def __init__(self, file: BinaryIO, schema: pa.Schema, *, kind: Format, name: str, location: str) -> None:
        self._file = _Hashing(file)
        self._groups = Groups(schema)
        self._location = location
        self.rows = 0
        self._finished = False
        with self._translated():
            self._encoder = encoder(kind, pa.PythonFile(self._file, "w"), schema, name)

    @property
    def bytes(self) -> int:
        """The bytes that were written."""
        return self._file.bytes

    @property
    def sha256(self) -> str:
        """The digest of the bytes that were written, in hexadecimal."""
        return self._file.digest.hexdigest()

    def write(self, batch: pa.RecordBatch) -> None:
        """Write rows. Raises WriteFailed, and InvalidDataset for rows that do not have the columns of the schema."""
        self.rows += batch.num_rows
        with self._translated():
            for group in self._groups.add(batch):
                self._encoder.write(group)

    def finish(self) -> None:
        """Write the remaining rows and the end of the file, unless they are written."""
        if self._finished:
            return
        self._finished = True
        with self._translated():
            for group in self._groups.finish():
                self._encoder.write(group)
            self._encoder.close()

    def abandon(self) -> None:
        """Release the encoder of a file that is not completed; nothing more is written."""
        self._file.abandoned = True
        with suppress(OSError, pa.ArrowException, ValueError):
            self._encoder.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise write_failed(self._location, error) from None


class _Hashing(io.RawIOBase):
    """A file that counts and hashes what is written; its owner flushes and closes the file below."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.bytes = 0
        self.abandoned = False

    def write(self, data: ReadableBuffer) -> int:
        view = memoryview(data)
        if not self.abandoned:
            # A buffered file writes all of it, or raises.
            self._file.write(view)
            self.digest.update(view)
            self.bytes += view.nbytes
        return view.nbytes

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Return the position: PyArrow's writers ask for it, and only append."""
        return self.bytes

    def writable(self) -> bool:
        return True
