"""Object stores, on a server that speaks the protocol of S3."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from functions.batch.errors import InvalidDataset, InvalidPath, WriteFailed
from functions.batch.storage import EVERYTHING, Policy, Target, open_source, open_target
from tests.functions.batch.storage.conftest import BUCKET
from tests.functions.batch.storage.datasets import opened, rejects_of, rows_of

TABLE = pa.table({"id": list(range(1_000)), "carrier": ["UA", "DL"] * 500})


def target(prefix: str = "out") -> Target:
    return open_target(f"s3://{BUCKET}/{prefix}", policy=EVERYTHING)


def put(store: fs.FileSystem, key: str, content: bytes) -> None:
    with store.open_output_stream(f"{BUCKET}/{key}", compression=None) as stream:
        stream.write(content)


@pytest.mark.parametrize("extension", [".parquet", ".csv", ".jsonl.gz", ".arrow", ".arrows"])
def test_each_format_gives_back_what_was_written(extension: str, bucket: fs.FileSystem) -> None:
    with target().write(f"a{extension}", TABLE.schema) as sink:
        sink.write(TABLE.to_batches()[0])
    source = opened(f"s3://{BUCKET}/out/a{extension}")
    assert rows_of(source) == TABLE.to_pylist()
    assert rows_of(source, 500, 2) == TABLE.slice(500, 2).to_pylist()
    (file,) = source.files
    assert (file.name, file.location, file.size) == (f"a{extension}", f"s3://{BUCKET}/out/a{extension}", sink.bytes)


def test_version_of_an_object_changes_with_its_content(bucket: fs.FileSystem) -> None:
    versions = []
    for content in (b"a\n1\n", b"a\n2\n", b"a\n1\n"):
        put(bucket, "a.csv", content)
        versions.append(opened(f"s3://{BUCKET}/a.csv").files[0].version)
    assert versions[0].startswith("etag:")
    assert versions[0] == versions[2] != versions[1]


def test_prefix_is_one_dataset_with_partitions(bucket: fs.FileSystem) -> None:
    for month in (1, 2):
        with target(f"in/month={month}").write("a.parquet", TABLE.schema) as sink:
            sink.write(TABLE.to_batches()[0].slice(month, 1))
    put(bucket, "in/_SUCCESS", b"")
    put(bucket, "in-2/a.csv", b"")
    expected = [{"id": 1, "carrier": "DL", "month": 1}, {"id": 2, "carrier": "UA", "month": 2}]
    assert rows_of(opened(f"s3://{BUCKET}/in")) == expected
    assert rows_of(opened(f"s3://{BUCKET}/in/")) == expected
    assert rows_of(opened(f"s3://{BUCKET}/in/*=2/*.parquet", columns=["id"])) == [{"id": 2}]


def test_large_row_groups_are_read_in_parts(bucket: fs.FileSystem) -> None:
    with bucket.open_output_stream(f"{BUCKET}/a.parquet") as stream:
        pq.write_table(TABLE, stream, row_group_size=300)
    for memory_bytes in (1_000, 2**28):
        assert rows_of(opened(f"s3://{BUCKET}/a.parquet", memory_bytes=memory_bytes), 299, 400) == TABLE.slice(299, 400).to_pylist()


def test_broken_row_is_a_reject(bucket: fs.FileSystem) -> None:
    put(bucket, "a.csv", b"a,b\n1,2\n3\n5,6\n")
    source = opened(f"s3://{BUCKET}/a.csv")
    assert rows_of(source) == [{"a": 1, "b": 2}, {"a": 5, "b": 6}]
    assert rejects_of(source)[0].position == "line 3"


def interrupted(out: Target) -> None:
    with out.write("a.csv", TABLE.schema) as sink:
        sink.write(TABLE.to_batches()[0])
        raise ConnectionError("the router")


def test_object_appears_only_when_it_is_complete(bucket: fs.FileSystem) -> None:
    out = target()
    with pytest.raises(ConnectionError, match="the router"):
        interrupted(out)
    assert out.list() == []


def test_objects_are_listed_renamed_and_deleted(bucket: fs.FileSystem) -> None:
    out = target()
    assert (out.list(), out.is_local, out.path) == ([], False, None)
    for name in ["b", "parts/2", "parts/1"]:
        out.put_bytes(name, name.encode())
    assert out.list() == ["b", "parts/1", "parts/2"]
    assert out.list("parts/") == ["parts/1", "parts/2"]
    out.rename("parts/1", "c/d")
    out.delete("parts/2")
    out.delete("parts/2")
    assert (out.list(), out.exists("c/d"), out.exists("parts/1")) == (["b", "c/d"], True, False)
    assert out.read("c/d") == b"parts/1"
    with pytest.raises(InvalidPath, match=r"cannot read s3://.*/out/parts/1 \(not found\); check the location, and the credentials"):
        out.read("parts/1")


def test_bytes_are_those_of_a_local_file(bucket: fs.FileSystem, tmp_path: object) -> None:
    found = []
    for place in (target(), open_target(str(tmp_path), policy=EVERYTHING)):
        with place.write("a.csv.gz", TABLE.schema) as sink:
            sink.write(TABLE.to_batches()[0])
        place.put_bytes("b.json.gz", b"as it is")
        found.append((sink.sha256, place.read("a.csv.gz"), place.read("b.json.gz")))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("location", "sentence"),
    [
        (f"s3://{BUCKET}/no.csv", "cannot read s3://flights-data/no.csv .not found.; check the location"),
        (f"s3://{BUCKET}/no/*.csv", "cannot read s3://flights-data/no .not found."),
        ("s3://no-such-bucket/a.csv", "cannot read s3://no-such-bucket/a.csv .(no such bucket|not found)."),
        (f"s3://{BUCKET}", "has no files of a known format"),
    ],
)
def test_missing_object_is_one_sentence(location: str, sentence: str, bucket: fs.FileSystem) -> None:
    put(bucket, "notes.txt", b"")
    with pytest.raises((InvalidPath, InvalidDataset), match=sentence):
        opened(location)


def test_bucket_that_is_not_there_cannot_be_written(bucket: fs.FileSystem) -> None:
    out = open_target("s3://no-such-bucket/out", policy=EVERYTHING)
    with (
        pytest.raises(WriteFailed, match=r"cannot write s3://no-such-bucket/out/a.csv \(no such bucket\); check the location"),
        out.write("a.csv", TABLE.schema),
    ):
        pass


def test_store_out_of_reach_is_no_damaged_file(bucket: fs.FileSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    put(bucket, "a.parquet", b"PAR1 no")
    with pytest.raises(InvalidDataset, match=r"a.parquet is not a Parquet file"):
        opened(f"s3://{BUCKET}/a.parquet")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(InvalidPath, match=r"cannot read s3://flights-data/a.parquet \(network connection\)"):
        opened(f"s3://{BUCKET}/a.parquet")


def test_prefix_outside_the_policy_is_refused(bucket: fs.FileSystem) -> None:
    put(bucket, "in/a.csv", b"a\n1\n")
    policy = Policy.from_setting(f"s3://{BUCKET}/in")
    assert len(open_source(f"s3://{BUCKET}/in/*.csv", policy=policy).files) == 1
    for location in (f"s3://{BUCKET}/other/a.csv", f"s3://{BUCKET}/in-2/a.csv", f"s3://{BUCKET}/*/a.csv", f"s3://{BUCKET}"):
        with pytest.raises(InvalidPath, match=r"outside the locations that a batch may use \(s3://flights-data/in\)"):
            open_source(location, policy=policy)
