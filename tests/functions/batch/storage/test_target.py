from __future__ import annotations

import hashlib
import resource
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from functions.batch.errors import InvalidDataset, InvalidPath, WriteFailed
from functions.batch.storage import EVERYTHING, Policy, Target, open_target
from tests.functions.batch.storage.datasets import opened, table_of

ROWS = 100_000
ROWS_TABLE = pa.table(
    {
        "id": pa.array(range(ROWS), pa.int64()),
        "carrier": pa.array([None if row % 11 == 0 else f"c{row % 500}" for row in range(ROWS)]),
        "category": pa.array([f"k{row * 7 % 30}" for row in range(ROWS)]).dictionary_encode(),
    }
)


def target(folder: Path, **options: str) -> Target:
    return open_target(str(folder), policy=EVERYTHING, **options)


def written(folder: Path, name: str, table: pa.Table, cuts: list[int]) -> bytes:
    """Write a table in batches that are cut at some rows, every other one with dictionaries."""
    schema = table.schema
    with target(folder).write(name, schema) as sink:
        for number, (start, end) in enumerate(pairwise([0, *sorted(cuts), table.num_rows])):
            part = table.slice(start, end - start)
            if number % 2 and schema.names[1] == "carrier":
                part = part.set_column(1, "carrier", part["carrier"].combine_chunks().dictionary_encode())
            for batch in part.combine_chunks().to_batches():
                sink.write(batch)
    content = (folder / name).read_bytes()
    assert (sink.rows, sink.bytes, sink.sha256) == (table.num_rows, len(content), hashlib.sha256(content).hexdigest())
    return content


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, ROWS), max_size=30))
def test_bytes_of_parquet_do_not_depend_on_the_batches(cuts: list[int], tmp_path: Path) -> None:
    assert written(tmp_path, "a.parquet", ROWS_TABLE, cuts) == written(tmp_path, "b.parquet", ROWS_TABLE, [])


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.jsonl", "a.jsonl.zst", "a.arrow", "a.arrows"])
def test_bytes_do_not_depend_on_the_batches(name: str, tmp_path: Path) -> None:
    table = ROWS_TABLE.select(["id", "carrier"]).slice(0, 70_000)
    assert written(tmp_path, name, table, [1, 2, 8_192, 33_333, 65_536]) == written(tmp_path, f"b{name}", table, [])


def test_long_strings_are_written_in_bounded_memory(tmp_path: Path) -> None:
    note = pa.DictionaryArray.from_arrays(pa.array([0] * 500, pa.int32()), pa.array(["x" * 2**20]))
    batch = pa.RecordBatch.from_pydict({"note": note})
    before = pa.total_allocated_bytes()
    with target(tmp_path).write("a.parquet", pa.schema({"note": pa.string()})) as sink:
        for _ in range(2):
            sink.write(batch)
            assert pa.total_allocated_bytes() - before < 128 * 2**20
    assert sink.rows == 1_000


def interrupted(out: Target) -> None:
    rows = ROWS_TABLE.select(["id"])
    with out.write("a.csv", rows.schema) as sink:
        sink.write(rows.to_batches()[0])
        assert out.read("a.csv") == b"before"
        # An error of the caller is not one of the disk.
        raise ConnectionError("the router")


def test_file_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    out = target(tmp_path / "out")
    out.put_bytes("a.csv", b"before")
    with pytest.raises(ConnectionError, match="the router"):
        interrupted(out)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.csv"]
    assert out.read("a.csv") == b"before"


def test_files_are_listed_renamed_and_deleted(tmp_path: Path) -> None:
    out = target(tmp_path / "out", format="csv")
    assert (out.list(), out.extension, out.is_local, out.path) == ([], ".csv", True, tmp_path / "out")
    for name in ["b", "parts/2", "parts/1"]:
        out.put_bytes(name, name.encode())
    assert out.list() == ["b", "parts/1", "parts/2"]
    assert out.list("parts/") == ["parts/1", "parts/2"]
    out.rename("parts/1", "c/d")
    out.delete("parts/2")
    out.delete("parts/2")
    assert (out.list(), out.exists("c/d"), out.exists("parts/1")) == (["b", "c/d"], True, False)
    with pytest.raises(InvalidPath, match=r"cannot read .*/parts/1: No such file"):
        out.read("parts/1")


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../a", "a/../../b", "a//b", "a\0", "."])
def test_name_that_leads_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidPath, match="is not the name of a file in a folder"):
        target(tmp_path).put_bytes(name, b"")


def test_target_outside_the_policy_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    policy = Policy.from_setting(str(tmp_path / "in"))
    for location in [tmp_path / "out", tmp_path / "in/../out", "s3://bucket/out"]:
        with pytest.raises(InvalidPath, match="outside the locations that a batch may use"):
            open_target(str(location), policy=policy)
    out = open_target(str(tmp_path / "in/out"), policy=policy)
    out.put_bytes("a", b"")
    (tmp_path / "in/out/link").symlink_to(tmp_path)
    with pytest.raises(InvalidPath, match="outside the locations that a batch may use"):
        out.put_bytes("link/b", b"")


def test_unusable_target_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidPath, match=r"folder .*/no of the output not found; create it first"):
        target(tmp_path / "no/out")
    with pytest.raises(InvalidPath, match=r"file is not a folder; choose another name"):
        target(tmp_path / "file")
    with pytest.raises(InvalidPath, match=r"https://host/out cannot be written; write to a folder or an object store"):
        open_target("https://host/out", policy=EVERYTHING)


@pytest.mark.parametrize(
    ("name", "sentence"), [("a.csv", "CSV cannot hold the lists of the column x"), ("a.arrow", "an Arrow file cannot have")]
)
def test_column_that_a_format_cannot_hold_is_refused(name: str, sentence: str, tmp_path: Path) -> None:
    type_ = pa.list_(pa.int8()) if name == "a.csv" else pa.dictionary(pa.int8(), pa.string())
    with pytest.raises(InvalidDataset, match=sentence), target(tmp_path).write(name, pa.schema({"x": type_})):
        pass
    assert list(tmp_path.iterdir()) == []


def test_disk_that_fills_is_a_clean_failure(tmp_path: Path) -> None:
    """A limit on the size of files stands in for a disk: both fail in the middle of a write."""
    code = f"""
import pyarrow as pa, signal, resource
from functions.batch.storage import EVERYTHING, open_target
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, {resource.RLIM_INFINITY}))
batch = pa.RecordBatch.from_pydict({{"x": list(range(60_000))}})
for name in ("a.parquet", "a.csv.gz", "a.jsonl", "a.arrow"):
    try:
        with open_target({str(tmp_path)!r}, policy=EVERYTHING).write(name, batch.schema) as sink:
            for _ in range(20):
                sink.write(batch)
    except Exception as error:
        print(type(error).__name__, error)
resource.setrlimit(resource.RLIMIT_FSIZE, ({resource.RLIM_INFINITY}, {resource.RLIM_INFINITY}))  # for coverage's data
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 4, done
    assert all(line.startswith("WriteFailed cannot write ") and "(File too large); choose another path" in line for line in lines), lines
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_full_disk_has_its_own_remedy() -> None:
    from functions.batch.storage.names import write_failed

    error = write_failed("/data/out", OSError(28, "No space left on device"))
    assert isinstance(error, WriteFailed)
    assert (
        str(error) == "the disk of /data/out is full; free space, then go on by `tidegate batch resume`, or by the next attempt of the Job."
    )


def test_written_file_is_a_source(tmp_path: Path) -> None:
    written(tmp_path, "a.parquet", ROWS_TABLE, [5])
    assert table_of(opened(target(tmp_path).location("a.parquet"))).to_pylist() == ROWS_TABLE.to_pylist()
