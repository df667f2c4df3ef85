from __future__ import annotations

import io
from contextlib import suppress

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.batch.errors import InvalidDataset
from functions.batch.storage import messages
from functions.batch.storage.arrow_ipc import ArrowReader

MIB = 2**20


def stream(table: pa.Table, compression: str | None = None, *, file: bool = False, chunk: int | None = None) -> bytes:
    sink = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with (pa.ipc.new_file if file else pa.ipc.new_stream)(sink, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=chunk)
    return sink.getvalue()


def reader(content: bytes, memory_bytes: int = 256 * MIB) -> ArrowReader:
    return ArrowReader(io.BytesIO(content), "a.arrow", len(content), memory_bytes=memory_bytes)


TABLE = pa.table(
    {
        "x": pa.array([None if row % 7 == 0 else row for row in range(1_000)], pa.int64()),
        "c": pa.array([f"c{row % 5}" for row in range(1_000)]).dictionary_encode(),
        "l": pa.array([[row] * (row % 3) for row in range(1_000)]),
    }
)


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
@pytest.mark.parametrize("file", [True, False])
def test_batches_are_read_from_any_row(file: bool, compression: str | None) -> None:
    found = reader(stream(TABLE, compression, file=file, chunk=64))
    assert found.count() == 1_000
    rows = [row for piece in found.pieces(["x", "c", "l"], 700) for row in piece.batch.to_pylist()]
    assert rows == TABLE.slice(640).to_pylist()


@pytest.mark.parametrize("compression", [None, "zstd"])
def test_batch_larger_than_the_memory_is_refused_before_it_is_read(compression: str | None) -> None:
    content = stream(pa.table({"x": pa.array([0] * 4 * MIB, pa.int64())}), compression)
    assert compression is None or len(content) < MIB
    found = reader(content, memory_bytes=64 * MIB) if compression else None
    before = pa.total_allocated_bytes()
    with pytest.raises(
        InvalidDataset, match=r"a record batch of a.arrow has 33,554,4\d\d bytes, more than 16,777,216; write the file again"
    ):
        list((found or reader(content, memory_bytes=64 * MIB)).pieces(["x"]))
    assert pa.total_allocated_bytes() - before < 8 * MIB


def test_message_that_claims_more_than_the_file_is_refused() -> None:
    content = stream(TABLE)
    with pytest.raises(InvalidDataset, match=r"a.arrow is damaged \(it is truncated\); write it again"):
        list(reader(content[:-200]).pieces(["x"]))


@settings(max_examples=500, deadline=None)
@given(data=st.binary(max_size=200))
def test_no_metadata_crashes_the_parser(data: bytes) -> None:
    with suppress(messages.InvalidMessage):
        messages.parse(data)


_CONTENT = stream(TABLE.slice(0, 50))


@settings(max_examples=300, deadline=None)
@given(position=st.integers(0, len(_CONTENT) - 1), value=st.integers(0, 255))
def test_changed_byte_raises_or_gives_valid_rows(position: int, value: int) -> None:
    content = bytearray(_CONTENT)
    content[position] = value
    with suppress(InvalidDataset):
        found = reader(bytes(content))
        for piece in found.pieces(found.schema.names):
            piece.batch.validate(full=True)
