"""Memory and disk that a dataset takes, whatever its content."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from functions.batch.dataset import Reader
from functions.batch.errors import InvalidDataset
from functions.batch.sizes import decoded_bytes
from functions.batch.storage import EVERYTHING, open_target

MIB = 2**20
ROWS = 1_000


def one_text_many_times(path: Path, size: int = MIB) -> Path:
    """Write a string that is stored once and is in every row: two kilobytes of file, a gigabyte of rows."""
    plain = {"distance": pa.array([1.0] * ROWS), "carrier": pa.array(["UA"] * ROWS)}
    note = pa.DictionaryArray.from_arrays(pa.array([0] * ROWS, pa.int32()), pa.array(["x" * size]))
    pq.write_table(pa.table({**plain, "note": note}), path, compression="zstd", store_schema=False)
    return path


def test_piece_has_bounded_bytes(tmp_path: Path) -> None:
    path = one_text_many_times(tmp_path / "bomb.parquet")
    assert path.stat().st_size < 10_000
    reader = Reader(str(path))
    before = pa.total_allocated_bytes()
    rows = 0
    for piece in reader.chunks(1_000):
        rows += piece.num_rows
        assert decoded_bytes(piece) <= 17 * MIB
        assert pa.total_allocated_bytes() - before < 64 * MIB
    assert rows == ROWS
    reader.close()


async def test_small_file_of_a_gigabyte_is_scored_in_bounded_memory(tmp_path: Path, url: str) -> None:
    path = one_text_many_times(tmp_path / "bomb.parquet")
    code = (
        "import sys; from tidegate.cli import run; status = run(sys.argv[1:]);"
        # Not getrusage, whose maximum includes that of the parent process.
        "print(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0]); sys.exit(status)"
    )
    arguments = ["batch", str(path), str(tmp_path / "out.parquet"), "--model", "flights", "--url", url, "--json"]
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    printed, said = await process.communicate()
    assert process.returncode == 0, said
    assert int(printed.splitlines()[-1]) < 600 * 1024
    assert pq.read_metadata(tmp_path / "out.parquet").num_rows == ROWS


def test_column_with_an_extreme_compression_ratio_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.parquet"
    lists = pa.ListArray.from_arrays(pa.array([0, 50_000_000], pa.int32()), pa.array(np.zeros(50_000_000, np.int8)))
    pq.write_table(pa.table({"nested": lists}), path, compression="zstd")
    with pytest.raises(InvalidDataset, match=r"row group 0 of .* decompresses from [\d,]+ to 400,000,0\d\d bytes; write the file"):
        Reader(str(path))


def test_wide_values_are_read_a_few_rows_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "wide.parquet"
    wide = pa.array([bytes(4 * MIB)] * 20, pa.binary(4 * MIB))
    pq.write_table(pa.table({"wide": wide, "lists": [[0.0] * 1_000] * 20}), path)
    reader = Reader(str(path))
    assert {piece.num_rows for piece in reader.chunks(1_000)} <= {1, 2, 3, 4}
    reader.close()


@pytest.mark.parametrize(
    "type_",
    [
        pa.string(),
        pa.large_string(),
        pa.string_view(),
        pa.binary(),
        pa.dictionary(pa.int8(), pa.string()),
        pa.list_(pa.string()),
        pa.uint16(),
        pa.timestamp("ns", "UTC"),
        pa.duration("s"),
        pa.struct([("a", pa.string())]),
    ],
)
def test_copy_has_the_types_and_values_of_its_original(type_: pa.DataType, tmp_path: Path) -> None:
    values = {"list": [["a"], None, []], "struct": [{"a": "x"}, None, {"a": None}]}
    plain = [1, None, 2] if pa.types.is_integer(type_) or pa.types.is_temporal(type_) else ["a", None, "a"]
    table = pa.table({"x": pa.array(values.get(str(type_).partition("<")[0], plain), type_)})
    pq.write_table(table, tmp_path / "in.parquet")
    reader = Reader(str(tmp_path / "in.parquet"))
    with open_target(str(tmp_path), policy=EVERYTHING).write("out.parquet", reader.schema) as sink:
        for piece in reader.chunks(2):
            sink.write(piece)
    reader.close()
    original, copy = pq.read_table(tmp_path / "in.parquet"), pq.read_table(tmp_path / "out.parquet")
    assert copy.schema == original.schema
    assert copy.to_pylist() == original.to_pylist()


def test_damaged_metadata_of_a_nested_column_is_refused() -> None:
    """PyArrow ends the process that reads this metadata of a column."""
    path = Path(__file__).parent / "damaged/definition_levels.parquet"
    with pytest.raises(InvalidDataset, match=r"is damaged \(the metadata of a column cannot be read\); write it again"):
        Reader(str(path))
