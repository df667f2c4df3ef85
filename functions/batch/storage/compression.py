"""Decompression of whole files, with a bound on what a small file may become."""

from __future__ import annotations

import pyarrow as pa

from functions.batch.errors import InvalidDataset
from functions.batch.storage.damage import damaged
from functions.batch.storage.stores import OpenFile

# A file that decompresses to more, and at a higher ratio, is meant to exhaust its reader: data has ratios of 2 to 50.
_BOMB_RATIO = 1_000


class Decompressed:
    """A file that is decompressed while it is read. Raises InvalidDataset for a damaged file, and for a bomb."""

    def __init__(self, file: OpenFile, compression: str, name: str, size: int, *, memory_bytes: int) -> None:
        self._stream = pa.CompressedInputStream(file, compression)
        self._name, self._size = name, size
        self._most = max(memory_bytes, _BOMB_RATIO * size)
        self._read = 0

    def read(self, size: int) -> bytes:
        """Return the next bytes, fewer than `size` also before the end."""
        try:
            found: bytes = self._stream.read(size)
        except (OSError, pa.ArrowException, MemoryError) as error:
            raise damaged(self._name, error, remedy="compress it again") from None
        self._read += len(found)
        if self._read > self._most:
            raise InvalidDataset(
                f"{self._name} decompresses from {self._size:,} to more than {self._most:,} bytes",
                remedy="decompress it first if it is meant",
            )
        return found

    def close(self) -> None:
        """Close the stream, and the file below it."""
        self._stream.close()
