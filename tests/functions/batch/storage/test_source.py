from __future__ import annotations

import gzip
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from functions.batch.errors import InvalidDataset, InvalidPath, InvalidRequest
from functions.batch.storage import EVERYTHING, Policy, Source, open_source, open_target
from tests.functions.batch.storage.datasets import opened, pieces_of, rejects_of, rows_of, table_of

ROWS = 3_000
EXTENSIONS = [".parquet", ".csv", ".jsonl", ".arrow", ".arrows", ".csv.gz", ".csv.zst", ".jsonl.gz", ".jsonl.zst"]


def flights(rows: int = ROWS, first: int = 0) -> pa.Table:
    numbers = range(first, first + rows)
    return pa.table(
        {
            "id": pa.array(numbers, pa.int64()),
            "carrier": pa.array([None if number % 5 == 0 else f'"UA", {number % 7}\nZürich' for number in numbers]),
            "distance": pa.array([None if number % 3 == 0 else number / 2 + 0.25 for number in numbers], pa.float64()),
            "late": pa.array([number % 2 == 0 for number in numbers]),
        }
    )


def written(table: pa.Table, path: Path) -> Path:
    with open_target(str(path.parent), policy=EVERYTHING).write(path.name, table.schema) as sink:
        for batch in table.to_batches():
            sink.write(batch)
    return path


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_each_format_gives_back_what_was_written(extension: str, tmp_path: Path) -> None:
    source = opened(written(flights(), tmp_path / f"flights{extension}"))
    assert table_of(source).to_pylist() == flights().to_pylist()
    assert source.schema == flights().schema
    assert [file.name for file in source.files] == [f"flights{extension}"]
    assert source.files[0].rows in (ROWS, None)


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_reading_begins_at_any_row(extension: str, tmp_path: Path) -> None:
    source = opened(written(flights(), tmp_path / f"flights{extension}"))
    for first, rows in [(0, 1), (1_234, 567), (2_990, 100), (ROWS, 1)]:
        found = rows_of(source, first, rows)
        assert found == flights().slice(first, rows).to_pylist()
        numbers = [number for piece in pieces_of(source, first, rows) for number in piece.row_numbers().to_pylist()]
        assert numbers == list(range(first, min(first + rows, ROWS)))


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_stretches_are_read_in_turn(extension: str, tmp_path: Path) -> None:
    source = opened(written(flights(), tmp_path / f"flights{extension}"))
    wanted = [(2_000, 100), (10, 1), (1_234, 567), (2_990, None)]
    found = [[row for piece in pieces for row in piece.batch.to_pylist()] for pieces in source.stretches(source.files[0], wanted)]
    assert found == [flights().slice(first, rows).to_pylist() for first, rows in wanted]


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_empty_dataset_keeps_its_columns(extension: str, tmp_path: Path) -> None:
    schema = pa.schema({"id": pa.int64(), "distance": pa.float64()})
    path = written(schema.empty_table(), tmp_path / f"flights{extension}")
    source = opened(path, types={"id": pa.int64(), "distance": pa.float64()})
    assert source.schema == schema
    assert rows_of(source) == []


def test_columns_are_chosen_in_their_order(tmp_path: Path) -> None:
    path = written(flights(2), tmp_path / "flights.parquet")
    assert rows_of(opened(path, columns=["distance", "id"])) == [{"distance": None, "id": 0}, {"distance": 0.75, "id": 1}]
    with pytest.raises(InvalidDataset, match=r"flights.parquet lacks the column nothing; choose from id, carrier, distance, late"):
        opened(path, columns=["nothing"])


@pytest.mark.parametrize("extension", [".parquet", ".csv", ".jsonl"])
def test_filter_leaves_rows_out_and_keeps_their_numbers(extension: str, tmp_path: Path) -> None:
    source = opened(written(flights(10), tmp_path / f"flights{extension}"), columns=["id"], filter="distance > 1 and late == True")
    (piece,) = pieces_of(source)
    assert (piece.first_row, piece.rows, piece.rejects) == (0, 10, ())
    assert piece.batch.to_pylist() == [{"id": 2}, {"id": 4}, {"id": 8}]
    assert piece.row_numbers().to_pylist() == [2, 4, 8]
    assert rows_of(source, 3, 5) == [{"id": 4}]
    with pytest.raises(InvalidDataset, match="lacks the column weight"):
        opened(tmp_path / f"flights{extension}", filter="weight > 1")
    with pytest.raises(InvalidRequest, match=r"the filter 'id >' cannot be read; write it as in"):
        opened(tmp_path / f"flights{extension}", filter="id >")


def test_filter_of_another_type_is_one_sentence(tmp_path: Path) -> None:
    source = opened(written(flights(10), tmp_path / "flights.parquet"), filter="carrier > 5")
    with pytest.raises(InvalidDataset, match=r"the filter 'carrier > 5' does not fit the columns \(.*\); compare values of one type"):
        rows_of(source)


def test_folder_is_one_dataset_in_order_of_names(tmp_path: Path) -> None:
    for number, name in enumerate(["b/1.parquet", "a/2.parquet", "a/1.parquet"]):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        written(flights(2, 10 * number), tmp_path / name)
    for hidden in ("_SUCCESS", "_manifest.json", ".part.crc", "notes.txt"):
        (tmp_path / hidden).write_text("{}")
    source = opened(tmp_path)
    assert [file.name for file in source.files] == ["a/1.parquet", "a/2.parquet", "b/1.parquet"]
    assert [row["id"] for row in rows_of(source)] == [20, 21, 10, 11, 0, 1]
    assert [file.name for file in opened(tmp_path / "a" / "*.parquet").files] == ["1.parquet", "2.parquet"]
    assert [file.name for file in opened(tmp_path / "**" / "1.*").files] == ["a/1.parquet", "b/1.parquet"]


def test_partitions_are_columns(tmp_path: Path) -> None:
    for month, airport in [("1", "J%20FK"), ("12", "__HIVE_DEFAULT_PARTITION__")]:
        folder = tmp_path / f"month={month}" / f"airport={airport}"
        folder.mkdir(parents=True)
        written(flights(1, int(month)), folder / "part.parquet")
    source = opened(tmp_path, columns=["id", "month", "airport"])
    assert source.schema.types == [pa.int64(), pa.int64(), pa.string()]
    assert rows_of(source) == [{"id": 1, "month": 1, "airport": "J FK"}, {"id": 12, "month": 12, "airport": None}]
    assert rows_of(opened(tmp_path, columns=["id"], filter="month == 12 and airport is None")) == [{"id": 12}]
    # Rows are counted although no column of the files is read.
    assert rows_of(opened(tmp_path, columns=["month"])) == [{"month": 1}, {"month": 12}]


def test_files_of_different_columns_are_refused(tmp_path: Path) -> None:
    written(flights(2), tmp_path / "1.parquet")
    written(flights(2).drop_columns(["distance"]), tmp_path / "2.parquet")
    with pytest.raises(InvalidDataset, match=r"2.parquet lacks the column distance, which 1.parquet has; add it, or leave the file out"):
        opened(tmp_path)
    written(flights(2).set_column(2, "distance", pa.array(["a", "b"])), tmp_path / "2.parquet")
    with pytest.raises(InvalidDataset, match=r"the column distance of .*2.parquet is string, but double in 1.parquet"):
        opened(tmp_path)
    written(flights(2).set_column(2, "distance", pa.array([7, 8], pa.int16())), tmp_path / "2.parquet")
    assert [row["distance"] for row in rows_of(opened(tmp_path))] == [None, 0.75, 7.0, 8.0]


@pytest.mark.parametrize(
    ("names", "options", "sentence"),
    [
        (["1.parquet", "2.csv"], {}, "has files of the formats csv and parquet; name the format"),
        (["1.txt"], {}, "has no files of a known format; use one of parquet, csv, jsonl, arrow"),
        (["1.parquet"], {"format": "xlsx"}, "the format 'xlsx' is not supported; use one of"),
    ],
)
def test_unclear_format_is_one_sentence(names: list[str], options: dict[str, str], sentence: str, tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises((InvalidDataset, InvalidPath), match=sentence):
        opened(tmp_path, **options)


def test_format_is_named_for_files_without_its_extension(tmp_path: Path) -> None:
    written(flights(5), tmp_path / "flights.csv").rename(tmp_path / "flights.txt")
    with pytest.raises(InvalidPath, match=r"the format of flights.txt is not known by its extension; name the format"):
        opened(tmp_path / "flights.txt")
    assert len(rows_of(opened(tmp_path / "flights.txt", format="csv"))) == 5


@pytest.mark.parametrize(
    ("location", "sentence"),
    [
        ("nowhere", "file .*nowhere not found; check the path"),
        ("no/*.csv", "not found"),
        ("*.csv", "no file matches .*; check the pattern"),
        ("a\0b", "has a NUL character"),
        ("ftp://host/file.csv", "the scheme ftp is not supported; use a path, or one of s3, gs, az, http, https"),
        ("s3://user:secret@bucket/key.csv", "is not a plain scheme://host/path"),
        ("s3://bucket/../key.csv", "is not normalized"),
        ("s3://bucket:9000/key.csv", "has a host instead of a bucket"),
        ("s3://bucket/key.csv?endpoint_override=attacker.example", "has a query; set options of the store in the environment"),
    ],
)
def test_unusable_location_is_one_sentence(location: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidPath, match=sentence) as caught:
        opened(location)
    assert "secret" not in str(caught.value)
    assert "attacker" not in str(caught.value)


def test_location_outside_the_policy_is_refused(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    written(flights(2), outside / "1.parquet")
    policy = Policy.from_setting(f"{inside}, s3://bucket/prefix")
    (inside / "link.parquet").symlink_to(outside / "1.parquet")
    for location in [outside, outside / "1.parquet", outside / "*.parquet", inside / "link.parquet", "s3://bucket/prefix-2/a.csv"]:
        with pytest.raises(
            InvalidPath, match=r"outside the (locations|folders) that a batch may use .*; set TIDEGATE_BATCH_PATHS to allow others"
        ):
            open_source(str(location), policy=policy)
    # A link in a folder that is read as a whole is checked when it is opened.
    with pytest.raises(InvalidPath, match="outside the folders that a batch may use"):
        open_source(str(inside), policy=policy)


@pytest.mark.parametrize("extension", [".parquet", ".arrow", ".arrows", ".csv.gz", ".csv.zst", ".jsonl.gz"])
def test_truncated_file_is_one_sentence(extension: str, tmp_path: Path) -> None:
    path = written(flights(), tmp_path / f"flights{extension}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(
        InvalidDataset, match=r"flights\S* (is damaged|is not a Parquet file) \(.*\); (write it again|compress it again|convert it)"
    ):
        rows_of(opened(path))


def test_broken_row_is_a_reject_and_the_rest_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "flights.csv"
    bad = {2: "2,UA", 5: "5,UA,far", 7: "7,UA,1,extra", 9: '9,"UA,1.5', 11: "11,\udcff,1.5"}
    lines = [bad.get(row, f"{row},UA,{row}.5") for row in range(20)]
    path.write_bytes("\n".join(["id,carrier,distance", *lines, ""]).encode("utf-8", "surrogateescape"))
    source = opened(path, types={"distance": pa.float64()})
    assert [row["id"] for row in rows_of(source)] == [row for row in range(20) if row not in bad]
    assert [(reject.row, reject.position, reject.reason) for reject in rejects_of(source)] == [
        (2, "line 4", "has 2 columns instead of 3"),
        (5, "line 7", "column distance (double): invalid value 'far'"),
        (7, "line 9", "has 4 columns instead of 3"),
        (9, "line 11", "has a quote that is not closed"),
        (11, "line 13", "column carrier (string): invalid UTF8 data"),
    ]
    assert sum(piece.rows for piece in pieces_of(source)) == 20


def test_broken_json_line_is_a_reject(tmp_path: Path) -> None:
    path = tmp_path / "flights.jsonl"
    lines = [
        b'{"id": 0, "d": 1.5}',
        b"",
        b'{"id": 1, "d": "x"}',
        b'{"id": 2} {"id": 3}',
        b'{"id": 4',
        b"[5]",
        b'{"id": 6, "new": 1}',
        b'{"d": 2}',
    ]
    path.write_bytes(b"\n".join([*lines, b'{"id": 8, "d": 1, "s": "\xff"}']))
    source = opened(path, types={"id": pa.int64(), "d": pa.float64(), "s": pa.string()}, columns=["id", "d"])
    assert rows_of(source) == [
        {"id": 0, "d": 1.5},
        {"id": 6, "d": None},
        {"id": None, "d": 2.0},
        {"id": 8, "d": 1.0},
    ]
    assert [(reject.row, reject.position) for reject in rejects_of(source)] == [(1, "line 3"), (2, "line 4"), (3, "line 5"), (4, "line 6")]
    assert "several values" in rejects_of(source)[1].reason


def test_numbers_without_a_value_are_null_and_texts_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "flights.csv"
    path.write_bytes(b"\xef\xbb\xbfcountry,delay,when,code\r\nNA,NA,2013-01-01 05:00,007\r\n\r\n,,,\r\nDE,NaN,2013-01-02,1\r\n")
    source = opened(path)
    assert source.schema == pa.schema({"country": pa.string(), "delay": pa.string(), "when": pa.string(), "code": pa.int64()})
    assert rows_of(opened(path, types={"delay": pa.float64(), "code": pa.string()})) == [
        {"country": "NA", "delay": None, "when": "2013-01-01 05:00", "code": "007"},
        {"country": None, "delay": None, "when": None, "code": None},
        {"country": "DE", "delay": None, "when": "2013-01-02", "code": "1"},
    ]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "has no header; write the names of the columns"),
        (b"a,a\n1,2\n", "has the column a more than once; rename one"),
        ("a,b\n".encode("utf-16"), "is UTF-16; write it again in UTF-8"),
        (b"\xff,b\n1,2\n", "the header of .* cannot be read"),
        (b'"a,b\n1,2\n', "has no header"),
    ],
)
def test_unusable_header_is_one_sentence(content: bytes, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(InvalidDataset, match=sentence):
        opened(tmp_path / "a.csv")


def test_small_compressed_file_of_gigabytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.csv.zst"
    with pa.CompressedOutputStream(pa.OSFile(str(path), "wb"), "zstd") as stream:
        stream.write(b"a,b\n")
        for _ in range(80):
            stream.write(b"1,2\n" * 2**18)
    assert path.stat().st_size < 20_000
    source = opened(path, memory_bytes=32 * 2**20)
    with pytest.raises(InvalidDataset, match=r"bomb.csv.zst decompresses from [\d,]+ to more than 33,554,432 bytes; decompress it first"):
        read_in_bounded_memory(source, 64 * 2**20)


def test_rows_of_many_columns_are_read_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "wide.jsonl"
    first = "{" + ",".join(f'"c{number}":1.5' for number in range(500)) + "}\n"
    path.write_text(first + "{}\n" * 60_000)
    assert read_in_bounded_memory(opened(path), 100 * 2**20) == 60_001


def read_in_bounded_memory(source: Source, limit: int) -> int:
    """Return the rows of the first file, no piece of which takes more memory than the limit."""
    before, rows = pa.total_allocated_bytes(), 0
    for piece in source.batches(source.files[0]):
        rows += piece.rows
        assert pa.total_allocated_bytes() - before < limit
    return rows


def test_row_that_is_too_long_is_a_reject(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a": 1}\n{"a": "' + b"x" * (9 * 2**20) + b'"}\n{"a": 2}\n')
    source = opened(path)
    assert rows_of(source) == [{"a": 1}, {"a": 2}]
    assert [(reject.position, reject.reason) for reject in rejects_of(source)] == [("line 2", "is longer than 4,194,304 bytes")]


def test_gzip_of_several_members_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"a\n1\n") + gzip.compress(b"2\n3\n"))
    assert [row["a"] for row in rows_of(opened(tmp_path / "a.csv.gz"))] == [1, 2, 3]


def test_version_of_a_file_is_its_digest(tmp_path: Path) -> None:
    path = written(flights(5), tmp_path / "a.parquet")
    version = opened(path).files[0].version
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", version)
    written(flights(6), path)
    assert opened(path).files[0].version != version


def test_csv_of_other_writers_is_read(tmp_path: Path) -> None:
    pacsv.write_csv(flights(), tmp_path / "a.csv", pacsv.WriteOptions(include_header=True, quoting_style="needed"))
    assert table_of(opened(tmp_path / "a.csv")).to_pylist() == flights().to_pylist()
    pq.write_table(flights(), tmp_path / "a.parquet", row_group_size=7)
    assert table_of(opened(tmp_path / "a.parquet")) == flights()
