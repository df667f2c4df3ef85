"""CSV: dialects and encodings, and cells converted by a model's inputs or by their form."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tidegate import rows
from tidegate.contract import Contract
from tidegate.rows import Reading, UnreadableFile

Write = Callable[..., Path]

PLANE = Contract(
    model="planes",
    inputs={"carrier": "BYTES", "seats": "INT32", "age": "FP32", "big": "UINT64", "jet": "BOOL"},
    required=("carrier",),
)


def data(path: Path, **reading: Any) -> list[dict[str, Any]]:
    return [row.data for row in rows.read(path, Reading(**reading))]


def test_ids_and_keys_keep_their_text(write: Write) -> None:
    texts = ["1E05", "1.10", "007", "-0", "true", "12345678901234567890123", " x", "1e2"]
    path = write("a.csv", "id,sku,n\n" + "".join(f"{text},{text},1\n" for text in texts))
    found = list(rows.read(path, Reading(key_column="sku")))
    assert [row.id for row in found] == texts
    assert [row.key for row in found] == texts
    assert [row.data for row in found] == [{"sku": text, "n": 1} for text in texts]


def test_cells_are_converted_by_the_models_inputs(write: Write) -> None:
    path = write(
        "a.csv",
        "carrier,seats,age,big,jet,other\n"
        "007,7.0,1e-100,18446744073709551615,True,1.50\n"
        "1E05,,.5,0001,0,true\n"
        "NA,NA,NaN, 12 ,FALSE,NA\n"
        "true,+50,0.011811023622047244,null,1,1e2\n",
    )
    assert data(path, contract=PLANE) == [
        {"carrier": "007", "seats": 7.0, "age": 1e-100, "big": 2**64 - 1, "jet": True, "other": 1.5},
        {"carrier": "1E05", "age": 0.5, "big": 1, "jet": False, "other": True},
        {"carrier": "NA", "big": 12, "jet": False, "other": "NA"},
        {"carrier": "true", "seats": 50, "age": 0.011811023622047244, "jet": True, "other": 100.0},
    ]


def test_key_that_is_an_input_is_converted_too(write: Write) -> None:
    path = write("a.csv", "carrier,seats\nUA,0150\n")
    (row,) = rows.read(path, Reading(key_column="seats", contract=PLANE))
    assert (row.key, row.data) == ("0150", {"carrier": "UA", "seats": 150})


@pytest.mark.parametrize(
    ("cells", "sentence"),
    [
        (
            "UA,many,1",
            "line 3 of .*: the column seats has 'many', but planes takes a number, such as 7.5 or 1e-3 .INT32.; fix the cell",
        ),
        ('UA,1,"0,5"', "line 3 of .*: the column age has '0,5', but planes takes a number.*; write decimals with a point"),
        ("UA,1,1e999", "line 3 of .*: the column age has '1e999', but planes takes a number that a double holds"),
        ("UA,1,1,", "line 3 of .* has 4 cells, but the header 3"),
    ],
)
def test_cell_of_the_wrong_datatype_is_named(cells: str, sentence: str, write: Write) -> None:
    path = write("a.csv", f"carrier,seats,age\nUA,1,1\n{cells}\n")
    with pytest.raises(UnreadableFile, match=sentence):
        data(path, contract=PLANE)


def test_missing_required_column_is_named(write: Write) -> None:
    with pytest.raises(UnreadableFile, match=r"line 1 of .* has no column carrier, which planes needs; its columns are Carrier, seats"):
        data(write("a.csv", "Carrier,seats\nUA,1\n"), contract=PLANE)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_delimiter_and_encoding_are_detected(delimiter: str, encoding: str, write: Write) -> None:
    lines = [["id", "name", "size"], ["1", f"Ölkännchen{delimiter} neu", "1.5"], ["2", 'a "b"', ""]]
    cells = [[f'"{cell.replace(chr(34), 2 * chr(34))}"' if " " in cell else cell for cell in line] for line in lines]
    path = write("a.csv", "\r\n".join(map(delimiter.join, cells)) + "\r\n", encoding)
    assert data(path) == [{"name": f"Ölkännchen{delimiter} neu", "size": 1.5}, {"name": 'a "b"'}]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a;b\n0,5;1,5\n", {"a": "0,5", "b": "1,5"}),
        ("sep=;\na;b\n1;2\n", {"a": 1, "b": 2}),
        ("a, b, c\n1, 2, x\n", {"a": 1, "b": 2, "c": "x"}),
        ("a,b\n1,'xy'\n", {"a": 1, "b": "xy"}),
        ("'a','b'\n'1','x,y'\n", {"a": 1, "b": "x,y"}),
        ("a\n1\n", {"a": 1}),
        ("a\r1\r", {"a": 1}),
        ("a,b\n\n1,2", {"a": 1, "b": 2}),
        ('a,b\n"x\ny",2\n', {"a": "x\ny", "b": 2}),
    ],
)
def test_other_dialects_are_detected(text: str, expected: dict[str, Any], write: Write) -> None:
    assert data(write("a.csv", text)) == [expected]


@pytest.mark.parametrize("encoding", ["latin-1", "windows-1252", "utf-16-le", "shift_jis"])
def test_encoding_without_a_byte_order_mark_must_be_named(encoding: str, write: Write) -> None:
    text = "id,name\n1,x\n2,ラーメン\n" if encoding == "shift_jis" else "id,name\n1,x\n2,Öl\n"
    path = write("a.csv", text, encoding)
    with pytest.raises(UnreadableFile, match=r"line [13] of .*; name the encoding by --encoding, such as windows-1252, or save the file"):
        data(path)
    assert data(path, encoding=encoding)[1]["name"] == text.splitlines()[2][2:]


def test_delimiter_can_be_named(write: Write) -> None:
    assert data(write("a.csv", "a^b\n1^2\n"), delimiter="^") == [{"a": 1, "b": 2}]
    assert data(write("a.tsv", "a,b\tc\n1,5\t2\n"), delimiter="tab") == [{"a,b": "1,5", "c": 2}]


@pytest.mark.parametrize(
    ("content", "reading", "sentence"),
    [
        (b"", {}, "is empty; name the columns in its first line"),
        (b"a,b,a\n1,2,3\n", {}, "has the column 'a' more than once"),
        (b"a,b,,\n1,2,,\n", {}, "has the column '' more than once"),
        (b'a,b\n"x\ny",1\n3\n', {}, "line 4 of .* has 1 cells, but the header 2"),
        (b'a,b\n\n"x\n\ny",1\n"x"y,2\n', {}, "line 6 of .* is not CSV: .*; fix its quotes"),
        (b'a,b\n1,2\n"x,2\n', {}, "line 3 of .* is not CSV"),
        (b"a^b\n1^2\n", {}, "has one column, 'a.b'; if it has more, name their delimiter by --delimiter"),
        (b"a;b,c\n1;2,3\n", {}, "the delimiter of .* may be ',' or ';'"),
        (b"a,b\n1,2\n", {"delimiter": "::"}, "'::' is not a delimiter"),
        (b"a,b\n1,2\n", {"encoding": "klingon"}, "unknown encoding 'klingon'"),
        (b"a,b\n1,2\n", {"encoding": "base64"}, "unknown encoding 'base64'"),
        (b"a,b\n1,\0\n", {}, "line 2 of .* has a NUL character"),
        (b"\x1f\x8b\x08\0\0\0", {}, "line 1 of .* is not utf-8"),
        (b"a,b\n1," + b"x" * (5 * 2**20), {}, "line 2 of .* has more than"),
    ],
)
def test_unreadable_file_is_one_sentence(content: bytes, reading: dict[str, Any], sentence: str, write: Write) -> None:
    with pytest.raises(UnreadableFile, match=sentence) as caught:
        data(write("a.csv", content), **reading)
    assert "\n" not in str(caught.value)
