"""The numbers of values in the columns of a Parquet file, read by a child process.

PyArrow 26 ends the process with SIGABRT on damaged metadata of a column ("Definition level histogram size mismatch"),
instead of raising an exception. Everything else in a file raises.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from functions.batch.errors import InvalidDataset
from functions.runtime.artifacts import modules

_SECONDS = 60


def column_values(source: BinaryIO, path: str) -> list[list[int]]:
    """Return the number of values of each column in each row group. Raises InvalidDataset for damaged metadata."""
    descriptor = source.fileno()
    command = [sys.executable, "-P", "-m", __name__, str(descriptor)]
    try:
        done = subprocess.run(  # noqa: S603
            command, pass_fds=[descriptor], env=modules.environment(), capture_output=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        done = None
    if done is None or done.returncode:
        raise InvalidDataset(f"{path} is damaged (the metadata of a column cannot be read)", remedy="write it again")
    found: list[list[int]] = json.loads(done.stdout)
    return found


def main(descriptor: int) -> None:
    """Print the numbers of values as JSON, one list per row group."""
    metadata = pq.ParquetFile(pa.PythonFile(open(descriptor, "rb", closefd=False))).metadata  # noqa: SIM115
    groups = map(metadata.row_group, range(metadata.num_row_groups))
    print(json.dumps([[group.column(index).num_values for index in range(group.num_columns)] for group in groups]))


if __name__ == "__main__":
    main(int(sys.argv[1]))
