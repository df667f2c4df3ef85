"""The numbers of values in the columns of a Parquet file, read by a child process.

PyArrow 26 ends the process with SIGABRT on damaged metadata of a column ("Definition level histogram size mismatch"),
instead of raising an exception. Everything else in a file raises.
"""

from __future__ import annotations

import json
import subprocess
import sys

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


def column_values(source: OpenFile, size: int, name: str) -> list[list[int]]:
    """Return the number of values of each column in each row group. Raises InvalidDataset for damaged metadata."""
    command = [sys.executable, "-P", "-m", __name__]
    try:
        done = subprocess.run(  # noqa: S603
            command, input=_footer(source, size), env=modules.environment(), capture_output=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        done = None
    if done is None or done.returncode:
        raise InvalidDataset(f"{name} is damaged (the metadata of a column cannot be read)", remedy="write it again")
    found: list[list[int]] = json.loads(done.stdout)
    return found


def _footer(source: OpenFile, size: int) -> bytes:
    """Return a Parquet file of the footer alone, which is all that the metadata takes."""
    source.seek(size - _TAIL_BYTES)
    length = int.from_bytes(source.read(_TAIL_BYTES)[:4], "little") + _TAIL_BYTES
    source.seek(max(0, size - min(length, _MAX_FOOTER_BYTES)))
    return _MAGIC + bytes(source.read(length))


def main() -> None:
    """Print the numbers of values as JSON, one list per row group."""
    metadata = pq.ParquetFile(pa.BufferReader(sys.stdin.buffer.read())).metadata
    groups = map(metadata.row_group, range(metadata.num_row_groups))
    print(json.dumps([[group.column(index).num_values for index in range(group.num_columns)] for group in groups]))


if __name__ == "__main__":
    main()
