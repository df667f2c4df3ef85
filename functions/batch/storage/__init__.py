"""Datasets where they lie: local Parquet files."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from functions.batch.dataset import Reader
from functions.batch.errors import WriteFailed
from functions.batch.paths import check_path, open_input, resolve_output


@dataclass(frozen=True, slots=True)
class Policy:
    allowed: tuple[Path, ...] | None = None


@dataclass(frozen=True, slots=True)
class Reject:
    row: int
    position: str
    reason: str


@dataclass(frozen=True, slots=True)
class Piece:
    batch: pa.RecordBatch
    first_row: int
    rejects: tuple[Reject, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceFile:
    name: str
    location: str
    size: int
    version: str
    rows: int | None


class Source:
    def __init__(self, location: str, policy: Policy) -> None:
        self._location, self._policy = location, policy
        with contextlib.closing(Reader(location, policy.allowed)) as reader:
            self.schema = reader.schema
            with open_input(location, policy.allowed) as file:
                stat = os.fstat(file.fileno())
            self.files = (SourceFile(Path(location).name, location, stat.st_size, f"{stat.st_size}+{stat.st_mtime_ns}", reader.rows),)

    def batches(self, file: SourceFile, first_row: int, rows: int | None) -> Iterator[Piece]:
        end = None if rows is None else first_row + rows
        position = 0
        with contextlib.closing(Reader(self._location, self._policy.allowed)) as reader:
            for batch in reader.chunks(16_384):
                start, position = position, position + batch.num_rows
                if position <= first_row:
                    continue
                part = batch.slice(max(0, first_row - start), None if end is None else end - max(start, first_row))
                if part.num_rows:
                    yield Piece(part, max(start, first_row))
                if end is not None and position >= end:
                    return


@dataclass(slots=True)
class Sink:
    _write: Any
    rows: int = 0
    bytes: int = 0
    sha256: str = ""

    def write(self, batch: pa.RecordBatch) -> None:
        self._write(batch)
        self.rows += batch.num_rows


@dataclass(frozen=True, slots=True)
class Target:
    path: Path
    format: str
    is_local: bool = True
    extension: str = field(default=".parquet")

    @contextlib.contextmanager
    def write(self, name: str, schema: pa.Schema) -> Iterator[Sink]:
        final = self.path / name
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary = final.with_name(f".{final.name}.{os.getpid()}.part")
        try:
            with open(temporary, "wb") as file:
                if self.format == "arrow":
                    with pa.ipc.new_file(file, schema) as writer:
                        sink = Sink(writer.write_batch)
                        yield sink
                else:
                    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
                        sink = Sink(writer.write_batch)
                        yield sink
            with open(temporary, "rb") as file:
                sink.sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            sink.bytes = temporary.stat().st_size
            temporary.replace(final)
        except OSError as error:
            raise WriteFailed(f"cannot write {final} ({error.strerror or error})", remedy="choose another path for the output") from None
        finally:
            temporary.unlink(missing_ok=True)

    def put_bytes(self, name: str, content: bytes) -> None:
        final = self.path / name
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
            temporary = final.with_name(f".{final.name}.{os.getpid()}.part")
            temporary.write_bytes(content)
            temporary.replace(final)
        except OSError as error:
            raise WriteFailed(f"cannot write {final} ({error.strerror or error})", remedy="choose another path for the output") from None

    def read(self, name: str) -> bytes:
        return (self.path / name).read_bytes()

    def exists(self, name: str) -> bool:
        return (self.path / name).exists()

    def list(self, prefix: str = "") -> list[str]:
        root = self.path
        found = (path for path in root.rglob("*") if path.is_file()) if root.exists() else iter(())
        names = sorted(str(path.relative_to(root)) for path in found)
        return [name for name in names if name.startswith(prefix)]

    def delete(self, name: str) -> None:
        (self.path / name).unlink(missing_ok=True)


def open_source(
    location: str,
    *,
    format: str | None,
    columns: Sequence[str] | None,
    filter: str | None,
    policy: Policy,
    memory_bytes: int,  # noqa: A002
) -> Source:
    check_path(location, policy.allowed)
    return Source(location, policy)


def open_target(location: str, *, format: str, policy: Policy) -> Target:  # noqa: A002
    return Target(resolve_output(location, policy.allowed), format, extension=".arrow" if format == "arrow" else ".parquet")
