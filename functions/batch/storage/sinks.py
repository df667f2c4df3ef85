"""A file that is written: rows in, and its digest when it is complete."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import BinaryIO

import pyarrow as pa

from functions.batch.storage.encoders import encoder
from functions.batch.storage.formats import Format
from functions.batch.storage.groups import Groups


class Sink:
    """A file of one format. Its bytes depend on the schema and the rows, not on how they were cut into batches.

    `rows` counts from the start; `bytes` and `sha256` are those of the complete file.
    """

    def __init__(self, file: BinaryIO, kind: Format, schema: pa.Schema, name: str) -> None:
        self._file = _Hashing(file)
        self._groups = Groups(schema)
        self._encoder = encoder(kind, pa.PythonFile(self._file, "w"), schema, name)
        self.rows = 0

    @property
    def bytes(self) -> int:
        """The bytes that were written."""
        return self._file.bytes

    @property
    def sha256(self) -> str:
        """The digest of the bytes that were written, in hexadecimal."""
        return self._file.digest.hexdigest()

    def write(self, batch: pa.RecordBatch) -> None:
        """Write rows. Raises OSError, and InvalidDataset for rows that do not have the columns of the schema."""
        self.rows += batch.num_rows
        for group in self._groups.add(batch):
            self._encoder.write(group)

    def finish(self) -> None:
        """Write the remaining rows and the end of the file."""
        for group in self._groups.finish():
            self._encoder.write(group)
        self._encoder.close()

    def abandon(self) -> None:
        """Release the encoder of a file that is not completed; nothing more is written."""
        self._file.abandoned = True
        with suppress(OSError, pa.ArrowException, ValueError):
            self._encoder.close()


class _Hashing:
    """A file that counts and hashes what is written. PyArrow's writers only append."""

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.bytes = 0
        self.abandoned = False

    def write(self, data: bytes) -> int:
        if not self.abandoned:
            # A buffered file writes all of it, or raises.
            self._file.write(data)
            self.digest.update(data)
            self.bytes += len(data)
        return len(data)

    def tell(self) -> int:
        return self.bytes

    def flush(self) -> None:
        """Leave it to the owner of the file, which flushes once."""

    def close(self) -> None:
        """Leave it to the owner of the file."""

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False
