"""Object stores, on servers that speak the protocols of S3, Google Cloud Storage and Azure Blob Storage."""

from __future__ import annotations

import re
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from functions.batch.errors import InvalidDataset, InvalidPath, WriteFailed
from functions.batch.storage import EVERYTHING, Policy, Target, filesystems, open_source, open_target
from tests.functions.batch.storage import servers
from tests.functions.batch.storage.datasets import opened, rejects_of, rows_of
from tests.functions.batch.storage.servers import BUCKET, Bucket

TABLE = pa.table({"id": list(range(1_000)), "carrier": ["UA", "DL"] * 500})


def target(bucket: Bucket, prefix: str = "out") -> Target:
    return open_target(bucket.uri(prefix), policy=EVERYTHING)


@pytest.mark.parametrize("extension", [".parquet", ".csv", ".jsonl.gz", ".arrow", ".arrows"])
def test_each_format_gives_back_what_was_written(extension: str, bucket: Bucket) -> None:
    with target(bucket).write(f"a{extension}", TABLE.schema) as sink:
        sink.write(TABLE.to_batches()[0])
    source = opened(bucket.uri(f"out/a{extension}"))
    assert rows_of(source) == TABLE.to_pylist()
    assert rows_of(source, 500, 2) == TABLE.slice(500, 2).to_pylist()
    (file,) = source.files
    assert (file.name, file.location, file.size) == (f"a{extension}", bucket.uri(f"out/a{extension}"), sink.bytes)


def test_version_of_an_object_changes_with_its_content(bucket: Bucket) -> None:
    versions = []
    for content in (b"a\n1\n", b"a\n2\n", b"a\n1\n"):
        bucket.put("a.csv", content)
        versions.append(opened(bucket.uri("a.csv")).files[0].version)
    assert all(re.fullmatch(r"(etag|generation):.+", version) for version in versions)
    assert versions[0] != versions[1]
    assert opened(bucket.uri("a.csv")).files[0].version == versions[2]


def test_prefix_is_one_dataset_with_partitions(bucket: Bucket) -> None:
    for month in (1, 2):
        with target(bucket, f"in/month={month}").write("a.parquet", TABLE.schema) as sink:
            sink.write(TABLE.to_batches()[0].slice(month, 1))
    bucket.put("in/_SUCCESS", b"")
    bucket.put("in-2/a.csv", b"")
    expected = [{"id": 1, "carrier": "DL", "month": 1}, {"id": 2, "carrier": "UA", "month": 2}]
    assert rows_of(opened(bucket.uri("in"))) == expected
    assert rows_of(opened(bucket.uri("in/"))) == expected
    assert rows_of(opened(bucket.uri("in/*=2/*.parquet"), columns=["id"])) == [{"id": 2}]


def test_large_row_groups_are_read_in_parts(bucket: Bucket) -> None:
    with bucket.files.open_output_stream(f"{BUCKET}/a.parquet") as stream:
        pq.write_table(TABLE, stream, row_group_size=300)
    for memory_bytes in (1_000, 2**28):
        assert rows_of(opened(bucket.uri("a.parquet"), memory_bytes=memory_bytes), 299, 400) == TABLE.slice(299, 400).to_pylist()


def test_broken_row_is_a_reject(bucket: Bucket) -> None:
    bucket.put("a.csv", b"a,b\n1,2\n3\n5,6\n")
    source = opened(bucket.uri("a.csv"))
    assert rows_of(source) == [{"a": 1, "b": 2}, {"a": 5, "b": 6}]
    assert rejects_of(source)[0].position == "line 3"


def interrupted(out: Target) -> None:
    with out.write("a.csv", TABLE.schema) as sink:
        sink.write(TABLE.to_batches()[0])
        raise ConnectionError("the router")


def test_object_appears_only_when_it_is_complete(bucket: Bucket) -> None:
    out = target(bucket)
    with pytest.raises(ConnectionError, match="the router"):
        interrupted(out)
    assert out.list() == []


def test_objects_are_listed_renamed_and_deleted(bucket: Bucket) -> None:
    out = target(bucket)
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
    with pytest.raises(InvalidPath, match=r"cannot read \w+://.*/out/parts/1 \(not found\); check the location, and the credentials"):
        out.read("parts/1")


def test_bytes_are_those_of_a_local_file(bucket: Bucket, tmp_path: object) -> None:
    found = []
    for place in (target(bucket), open_target(str(tmp_path), policy=EVERYTHING)):
        with place.write("a.csv.gz", TABLE.schema) as sink:
            sink.write(TABLE.to_batches()[0])
        place.put_bytes("b.json.gz", b"as it is")
        found.append((sink.sha256, place.read("a.csv.gz"), place.read("b.json.gz")))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("no.csv", "cannot read {uri}/no.csv .not found.; check the location"),
        ("no/*.csv", "cannot read {uri}/no .not found."),
        ("", "has no files of a known format"),
    ],
)
def test_missing_object_is_one_sentence(key: str, sentence: str, bucket: Bucket) -> None:
    bucket.put("notes.txt", b"")
    with pytest.raises((InvalidPath, InvalidDataset), match=sentence.format(uri=bucket.uri())):
        opened(bucket.uri(key))


def test_bucket_that_is_not_there_is_one_sentence(bucket: Bucket) -> None:
    missing = f"{bucket.scheme}://no-such-bucket"
    with pytest.raises(InvalidPath, match=rf"cannot read {missing}/a.csv \((no such bucket|not found)\); check the location"):
        opened(f"{missing}/a.csv")
    out = open_target(f"{missing}/out", policy=EVERYTHING)
    assert out.list() == []
    with (
        pytest.raises(WriteFailed, match=rf"cannot write {missing}/out/a.csv \({bucket.missing}\); check the location"),
        out.write("a.csv", TABLE.schema),
    ):
        pass


def test_damaged_file_is_not_a_store_out_of_reach(bucket: Bucket) -> None:
    bucket.put("a.parquet", b"PAR1 no")
    with pytest.raises(InvalidDataset, match=r"a.parquet is not a Parquet file"):
        opened(bucket.uri("a.parquet"))


class _Denial(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(403)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815 the names that the base class looks for

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the name of the base class
        pass


@pytest.mark.parametrize(("scheme", "reason"), [("s3", "access denied"), ("gs", "permission denied"), ("az", "403 Forbidden")])
def test_store_that_denies_access_is_one_sentence(scheme: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Denial) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        denying = f"http://127.0.0.1:{server.server_port}"
        for name, value in servers.environ_of(scheme, f"{denying}/{servers.AZURE_ACCOUNT}" if scheme == "az" else denying).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(InvalidPath, match=rf"^cannot read {scheme}://b/a.csv \({reason}\); check the location, and the credentials"):
            opened(f"{scheme}://b/a.csv")
        with pytest.raises(WriteFailed, match=rf"^cannot write {scheme}://b/_SUCCESS \({reason}\); check"):
            open_target(f"{scheme}://b", policy=EVERYTHING).put_bytes("_SUCCESS", b"")
        server.shutdown()


@pytest.mark.parametrize(
    ("scheme", "reason"), [("s3", "network connection"), ("gs", "unavailable"), ("az", "Fail to get a new connection.*")]
)
def test_store_out_of_reach_is_one_sentence(scheme: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filesystems, "_RETRY", timedelta(seconds=1))
    for name, value in servers.environ_of(scheme, "http://127.0.0.1:9" + f"/{servers.AZURE_ACCOUNT}" * (scheme == "az")).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InvalidPath, match=rf"^cannot read {scheme}://b/a.parquet \({reason}\); check the location"):
        opened(f"{scheme}://b/a.parquet")


def test_prefix_outside_the_policy_is_refused(bucket: Bucket) -> None:
    bucket.put("in/a.csv", b"a\n1\n")
    policy = Policy.from_setting(bucket.uri("in"))
    assert len(open_source(bucket.uri("in/*.csv"), policy=policy).files) == 1
    for location in (bucket.uri("other/a.csv"), bucket.uri("in-2/a.csv"), bucket.uri("*/a.csv"), bucket.uri()):
        with pytest.raises(InvalidPath, match=r"outside the locations that a batch may use \(\w+://flights-data/in\)"):
            open_source(location, policy=policy)
