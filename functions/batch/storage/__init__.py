"""Datasets where they lie: local Parquet files."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from functions.batch.dataset import Reader
from functions.batch.errors import InvalidPath, WriteFailed
from functions.batch.paths import check_path, open_input, resolve_output
from functions.batch.run.blocks import Blocks


@dataclass(frozen=True, slots=True)
class Policy:
    allowed: tuple[Path, ...] | None = None


@dataclass(frozen=True, slots=True)
class Reject:
    row: int
    position: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    batch: pa.RecordBatch
    first_row: int
    rows: int
    rejects: tuple[Reject, ...] = ()
    numbers: pa.Array | None = None

    def row_numbers(self) -> pa.Array:
        if self.numbers is not None:
            return self.numbers
        return pa.array(range(self.first_row, self.first_row + self.rows), pa.int64())


@dataclass(frozen=True, slots=True)
class Written:
    digest: str
    bytes: int
    rows: int


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

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def batches(self, file: SourceFile, first_row: int = 0, rows: int | None = None) -> Iterator[Piece]:
        end = None if rows is None else first_row + rows
        position = 0
        with contextlib.closing(Reader(self._location, self._policy.allowed)) as reader:
            for batch in reader.chunks(16_384):
                start, position = position, position + batch.num_rows
                if position <= first_row:
                    continue
                part = batch.slice(max(0, first_row - start), None if end is None else end - max(start, first_row))
                if part.num_rows:
                    yield Piece(batch=part, first_row=max(start, first_row), rows=part.num_rows)
                if end is not None and position >= end:
                    return


class Sink:
    def __init__(self, write: Any, schema: pa.Schema) -> None:
        self._write, self._blocks, self.rows = write, Blocks(schema), 0
        self.written = Written("", 0, 0)

    def write(self, batch: pa.RecordBatch) -> None:
        self.rows += batch.num_rows
        for block in self._blocks.add(batch):
            self._write(block)

    def finish(self) -> None:
        for block in self._blocks.rest():
            self._write(block)


@dataclass(frozen=True, slots=True)
class Target:
    path: Path
    can_rename: bool = True

    @contextlib.contextmanager
    def write(self, name: str, schema: pa.Schema) -> Iterator[Sink]:
        final = self.path / name
        temporary = final.with_name(f".{final.name}.{os.getpid()}.part")
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
            with open(temporary, "wb") as file:
                writer = pa.ipc.new_file(file, schema) if name.endswith(".arrow") else pq.ParquetWriter(file, schema, compression="zstd")
                with writer:
                    sink = Sink(writer.write_batch, schema)
                    yield sink
                    sink.finish()
            with open(temporary, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            sink.written = Written(f"sha256:{digest}", temporary.stat().st_size, sink.rows)
            temporary.replace(final)
        except OSError as error:
            raise WriteFailed(f"cannot write {final} ({error.strerror or error})", remedy="choose another path for the output") from None
        finally:
            temporary.unlink(missing_ok=True)

    def location(self, name: str) -> str:
        return str(self.path / name)

    def rename(self, old: str, new: str) -> None:
        (self.path / old).rename(self.path / new)

    def put_bytes(self, name: str, content: bytes) -> None:
        final = self.path / name
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
            temporary = final.with_name(f".{final.name}.{os.getpid()}.part")
            temporary.write_bytes(content)
            temporary.replace(final)
        except OSError as error:
            raise WriteFailed(f"cannot write {final} ({error.strerror or error})", remedy="choose another path for the output") from None

    def read(self, name: str, limit: int) -> bytes:
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


def format_of(location: str) -> str | None:
    return {".parquet": "parquet", ".arrow": "arrow"}.get(Path(location).suffix)


def same_place(source: Source, output: str) -> None:
    if any(Path(file.location).resolve() == Path(output).resolve() for file in source.files):
        raise InvalidPath(f"the output {output} is an input", remedy="choose another output")


def open_source(
    location: str,
    *,
    format: str | None = None,  # noqa: A002
    columns: Sequence[str] | None = None,
    filter: str | None = None,  # noqa: A002
    types: Any = MappingProxyType({}),
    policy: Policy,
    memory_bytes: int = 2**28,
) -> Source:
    if Path(location).suffix == ".arrow":
        return ArrowSource(location, policy)
    check_path(location, policy.allowed)
    return Source(location, policy)


class ArrowSource(Source):
    def __init__(self, location: str, policy: Policy) -> None:
        self._location = location
        with pa.OSFile(location) as file:
            self.schema = pa.ipc.open_file(file).schema
        self.files = (SourceFile(Path(location).name, location, 0, "", None),)

    def batches(self, file: SourceFile, first_row: int = 0, rows: int | None = None) -> Iterator[Piece]:
        with pa.memory_map(self._location) as opened:
            reader = pa.ipc.open_file(opened)
            for number in range(reader.num_record_batches):
                batch = reader.get_batch(number)
                yield Piece(batch=batch, first_row=0, rows=batch.num_rows)


def open_target(location: str, *, policy: Policy) -> Target:
    return Target(resolve_output(location, policy.allowed))
