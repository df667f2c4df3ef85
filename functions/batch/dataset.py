"""Parquet in bounded memory: read in chunks of rows, written beside its final name and renamed when it is whole."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from functions.runtime.errors import InvalidInput

# Rows of a row group: readers like large ones, and they are held in memory until they are written.
_GROUP_ROWS = 65_536


class Reader:
    """A Parquet file. Raises InvalidInput when there is none at this path."""

    def __init__(self, path: str) -> None:
        self._path = path
        try:
            self._file = pq.ParquetFile(path, memory_map=False)
        except FileNotFoundError:
            raise InvalidInput(f"there is no file {path}; name a Parquet file that exists.") from None
        except (pa.ArrowInvalid, OSError) as error:
            raise InvalidInput(f"{path} is not a Parquet file ({_first_line(error)}); convert it to Parquet.") from None
        self.schema: pa.Schema = self._file.schema_arrow
        self.rows: int = self._file.metadata.num_rows

    def chunks(self, rows: int) -> Iterator[pa.RecordBatch]:
        try:
            yield from self._file.iter_batches(batch_size=rows)
        except (pa.ArrowInvalid, OSError) as error:
            raise InvalidInput(f"{self._path} is damaged ({_first_line(error)}); write it again.") from None

    def close(self) -> None:
        self._file.close()


class Writer:
    """Raises InvalidInput when the place does not take the file."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path = path
        self._schema = schema
        self._waiting: list[pa.RecordBatch] = []
        self._rows = 0
        with self._told():
            self._writer = pq.ParquetWriter(path, schema, compression="zstd")

    def write(self, batch: pa.RecordBatch) -> None:
        self._waiting.append(batch)
        self._rows += batch.num_rows
        if self._rows >= _GROUP_ROWS:
            self._flush()

    def close(self) -> None:
        self._flush()
        with self._told():
            self._writer.close()

    def _flush(self) -> None:
        if self._waiting:
            with self._told():
                self._writer.write_table(pa.Table.from_batches(self._waiting, self._schema))
            self._waiting, self._rows = [], 0

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InvalidInput(f"cannot write {self._path} ({_first_line(error)}); choose another place for the output.") from None


@contextlib.contextmanager
def atomic(path: str, schema: pa.Schema) -> Iterator[Writer]:
    """A writer whose file appears under its name when the block ends well, and not at all when it does not."""
    final = Path(path)
    temporary = final.with_name(f".{final.name}.{os.getpid()}.part")
    try:
        with contextlib.closing(Writer(temporary, schema)) as writer:
            yield writer
        temporary.replace(final)
    finally:
        temporary.unlink(missing_ok=True)


def check_output(path: str, overwrite: bool) -> None:
    """Raises InvalidInput when the output is there already, or its folder is not."""
    if Path(path).exists() and not overwrite:
        raise InvalidInput(f"the output {path} exists already; choose another name, or overwrite it by --overwrite.")
    if not Path(path).absolute().parent.is_dir():
        raise InvalidInput(f"there is no folder {Path(path).absolute().parent} for the output; create it first.")


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".")
