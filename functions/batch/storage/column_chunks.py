"""The columns of the row groups of a Parquet file: values, place and size, read by a child process.

PyArrow 26 ends the process with SIGABRT on damaged metadata of a column ("Definition level histogram size mismatch"),
instead of raising an exception. Everything else in a file raises.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from functions.batch.errors import InvalidDataset
from functions.batch.storage.stores import OpenFile
from functions.runtime.artifacts import modules

_SECONDS = 60
_MAGIC = b"PAR1"
# Bytes of the footer and its length. A footer of a thousand columns and row groups has 100 MB.
_TAIL_BYTES = 8
_MAX_FOOTER_BYTES = 128 * 2**20


class ColumnChunk(NamedTuple):
    """A column in a row group: its path in the schema, its values, and where its bytes are in the file."""

    path: str
    values: int
    start: int
    size: int
    decompressed: int


def column_chunks(source: OpenFile, size: int, name: str) -> list[list[ColumnChunk]]:
    """Return the columns of each row group. Raises InvalidDataset for damaged metadata."""
    command = [sys.executable, "-P", "-m", __name__]
    try:
        done = subprocess.run(  # noqa: S603
            command, input=_footer(source, size), env=modules.environment(), capture_output=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        done = None
    if done is None or done.returncode:
        raise InvalidDataset(f"{name} is damaged (the metadata of a column cannot be read)", remedy="write it again")
    return [[ColumnChunk(*column) for column in group] for group in json.loads(done.stdout)]


def _footer(source: OpenFile, size: int) -> bytes:
    """Return a Parquet file of the footer alone, which is all that the metadata takes."""
    source.seek(size - _TAIL_BYTES)
    length = int.from_bytes(source.read(_TAIL_BYTES)[:4], "little") + _TAIL_BYTES
    source.seek(max(0, size - min(length, _MAX_FOOTER_BYTES)))
    return _MAGIC + bytes(source.read(length))


def main() -> None:
    """Print the columns as JSON, one list per row group."""
    metadata = pq.ParquetFile(pa.BufferReader(sys.stdin.buffer.read())).metadata
    groups = map(metadata.row_group, range(metadata.num_row_groups))
    print(json.dumps([[_chunk(group.column(index)) for index in range(group.num_columns)] for group in groups]))


def _chunk(column: pq.ColumnChunkMetaData) -> ColumnChunk:
    start = min(offset for offset in (column.dictionary_page_offset, column.data_page_offset) if offset is not None)
    return ColumnChunk(column.path_in_schema, column.num_values, start, column.total_compressed_size, column.total_uncompressed_size)


if __name__ == "__main__":
    main()
