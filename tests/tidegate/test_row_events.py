"""Any content of a file is either rows that can be published or one sentence; no content is an internal error."""

from __future__ import annotations

import datetime as dt
import io
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventing.codecs.kafka import Message
from eventing.keys import key_text
from functions.batch.errors import InvalidDataset
from functions.batch.signature import Input
from functions.batch.tensors import encode
from functions.router.assignment import event_key
from functions.runtime.protocols.routing import KEYS
from tidegate import row_events, rows
from tidegate.rows import Reading, UnreadableFile

many = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
# Pieces with a meaning in one of the formats, so that readers get beyond the first character.
PIECES = [
    b"\n",
    b"\r\n",
    b'"',
    b"'",
    b",",
    b";",
    b"\t",
    b"|",
    b"id",
    b"k",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\0",
]
PIECES += [b"1", b"0.5", b"1e999", b"9" * 30, b'{"id":', b'"k":1}', b"\xe4", b"\\ud800", b"sep=;\n", b"null", b" ", "ä".encode()]
content = st.one_of(st.binary(max_size=200), st.lists(st.sampled_from(PIECES), max_size=40).map(b"".join))


def sent(path: Path, key: str | None = "k") -> list[Message] | str:
    """The records of a file, or the message of its error."""
    envelope = row_events.Envelope(file=path, type="t", source="/s", key_column=key)
    try:
        return [message for _, message in row_events.messages(rows.read(path, Reading(key_column=key)), envelope)]
    except UnreadableFile as error:
        return str(error)


def is_good(found: list[Message] | str) -> bool:
    if isinstance(found, str):
        return "\n" not in found and found.endswith(".")
    return all(isinstance(orjson.loads(message.value or b""), dict) for message in found)


@many
@given(content=content, ending=st.sampled_from(["csv", "tsv", "jsonl"]), key=st.sampled_from(["k", None]))
def test_any_bytes_are_rows_or_one_sentence(content: bytes, ending: str, key: str | None, tmp_path: Path) -> None:
    path = tmp_path / f"a.{ending}"
    path.write_bytes(content)
    assert is_good(sent(path, key))


@settings(many, max_examples=100)
@given(data=st.data())
def test_any_damaged_parquet_file_is_rows_or_one_sentence(data: st.DataObject, tmp_path: Path) -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"id": ["a", "b"], "k": [1.5, None], "n": [[1], []]}), sink)
    damaged = bytearray(sink.getvalue())
    for position in data.draw(st.lists(st.integers(0, len(damaged) - 1), max_size=8)):
        damaged[position] = data.draw(st.integers(0, 255))
    path = tmp_path / "a.parquet"
    path.write_bytes(damaged[: data.draw(st.integers(0, len(damaged)))] if data.draw(st.booleans()) else damaged)
    assert is_good(sent(path))


# Control characters are in no attribute of an event (CloudEvents 1.0.2, section "Type System"), and so in no key.
TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=8)
TIMES = st.datetimes(dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31))  # noqa: DTZ001
NANOSECONDS = st.integers(-(2**62), 2**62)
COLUMNS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "string": (pa.string(), TEXT),
    "large_string": (pa.large_string(), TEXT),
    "dictionary": (pa.dictionary(pa.int32(), pa.string()), TEXT),
    "bool": (pa.bool_(), st.booleans()),
    "int8": (pa.int8(), st.integers(-128, 127)),
    "int64": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "uint64": (pa.uint64(), st.integers(0, 2**64 - 1)),
    "float16": (pa.float16(), st.floats(width=16)),
    "float32": (pa.float32(), st.floats(width=32)),
    "float64": (pa.float64(), st.floats()),
    "decimal": (pa.decimal128(20, 4), st.decimals(-(10**15), 10**15, places=4)),
    "decimal of many digits": (pa.decimal128(38, 0), st.decimals(-(10**37), 10**37, places=0)),
    "date": (pa.date32(), st.dates()),
    "date of any day": (pa.date32(), st.integers(-(2**31), 2**31 - 1)),
    "time": (pa.time64("us"), st.times()),
    "time of nanoseconds": (pa.time64("ns"), st.integers(0, 86_400 * 10**9 - 1)),
    "seconds": (pa.timestamp("s"), st.integers(-(2**50), 2**50)),
    "milliseconds": (pa.timestamp("ms"), TIMES),
    "microseconds": (pa.timestamp("us"), TIMES),
    "nanoseconds": (pa.timestamp("ns"), NANOSECONDS),
    "a zone's": (pa.timestamp("us", "America/New_York"), st.datetimes(dt.datetime(1990, 1, 1), dt.datetime(2030, 1, 1))),  # noqa: DTZ001
    "a zone's nanoseconds": (pa.timestamp("ns", "UTC"), NANOSECONDS),
    "null": (pa.null(), st.none()),
}


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("kind", COLUMNS)
@given(data=st.data())
def test_stream_and_batch_write_a_key_in_the_same_way(kind: str, data: st.DataObject, tmp_path: Path) -> None:
    type_, values = COLUMNS[kind]
    column = pa.array(data.draw(st.lists(values, min_size=1, max_size=3)), type_)
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"k": column, "x": pa.array([0.0] * len(column))}), path)
    try:
        reading = list(rows.read(path, Reading(key_column="k")))
    except UnreadableFile as error:
        reading = []
        refused = str(error)
    try:
        batch = encode(pq.read_table(path).to_batches()[0], [Input("x", "FP32", optional=False)], "k", 0)
        by_batch = orjson.loads(batch.content[: batch.json_length])["parameters"][KEYS]
    except InvalidDataset:
        assert not reading
        return
    if not reading:
        assert "column k has an infinite number" in refused
        return
    assert [row.key or f"row {index}" for index, row in enumerate(reading)] == by_batch
    for row in filter(lambda row: row.key, reading):
        in_event = orjson.loads(orjson.dumps(row.data))["k"]
        assert key_text(in_event) == row.key
        envelope = row_events.Envelope(file=path, type="t", source="/s", key_column="k")
        ((_, message),) = row_events.messages([row], envelope)
        assert message.key == event_key({"source": "/s", "id": "1", "partitionkey": row.key}) == str(row.key).encode()


def test_key_that_is_not_valid_in_an_event_names_its_row(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"k": ["fine", "a\x1fb"]}), path)
    reading = list(rows.read(path, Reading(key_column="k")))
    envelope = row_events.Envelope(file=path, type="t", source="/s", key_column="k")
    with pytest.raises(UnreadableFile, match=r"row 2 of .*: the event's attribute partitionkey has a control character"):
        list(row_events.messages(reading, envelope))


@pytest.mark.parametrize(
    ("column", "sentence"),
    [
        (
            pa.array([1, 2932896 + 400], pa.date32()),
            "row 2 of .*: the column odd has a date32.* that cannot be written, such as a year after 9999",
        ),
        (pa.array([10**26], pa.decimal128(38, 0)), "row 1 of .*: the column odd has a decimal with more digits than JSON readers keep"),
        (pa.array([1.0, float("inf")]), "row 2 of .*: the column odd has an infinite number, which JSON cannot represent"),
        (pa.array([[1], [Decimal("1e30")]]), "row 2 of .*: the column odd has a decimal with more digits"),
        (pa.array([{"a": b"x"}]), "row 1 of .*: the column odd has bytes, which JSON has no value for"),
        (pa.array([b"\xff"]).cast(pa.binary()).view(pa.string()), "row 1 of .*: the column odd has a string that is not UTF-8"),
    ],
)
def test_value_without_a_json_form_is_named(column: pa.Array, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"odd": column}), path)
    with pytest.raises(UnreadableFile, match=sentence):
        list(rows.read(path))


def test_nested_values_are_written_like_plain_ones(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    value = {"when": dt.date(2024, 1, 2), "prices": [Decimal("0.10"), None], "nan": [float("nan")]}
    pq.write_table(pa.table({"nested": [value]}), path)
    (row,) = rows.read(path)
    assert row.data == {"nested": {"when": "2024-01-02", "prices": [0.1, None], "nan": [None]}}


def test_duplicate_column_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"]), path)
    with pytest.raises(UnreadableFile, match="has the column 'a' more than once"):
        list(rows.read(path))


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_path_that_is_not_a_file_is_refused(ending: str, tmp_path: Path) -> None:
    pipe, folder = tmp_path / f"pipe.{ending}", tmp_path / f"folder.{ending}"
    os.mkfifo(pipe)
    folder.mkdir()
    device = tmp_path / f"device.{ending}"
    device.symlink_to("/dev/zero")
    for path, what in [(pipe, "is a pipe; write its content into a file first"), (folder, "is a folder"), (device, "is a device")]:
        with pytest.raises(UnreadableFile, match=what):
            rows.read(path)
    with pytest.raises(UnreadableFile, match="has a NUL character"):
        rows.read(tmp_path / f"a\0.{ending}")


def test_file_name_may_have_any_bytes(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/a \xff.csv"))
    path.write_text("a\n1\n")
    found = sent(path, key=None)
    assert not isinstance(found, str)
    assert dict(found[0].headers)["ce_id"] == b"a%20%FF.csv:1"
