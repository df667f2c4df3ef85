from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tidegate import rows
from tidegate.rows import Reading, UnreadableFile

Write = Callable[..., Path]
BIG = 12345678901234567890123


def test_ids_and_keys_keep_every_digit(write: Write) -> None:
    path = write("a.jsonl", "".join(f'{{"id": {BIG + n}, "sku": {BIG + n}, "x": 1.0}}\n' for n in range(3)))
    found = list(rows.read(path, Reading(key_column="sku")))
    texts = [str(BIG + n) for n in range(3)]
    assert [(row.id, row.key, row.data) for row in found] == [(text, text, {"sku": text, "x": 1.0}) for text in texts]


@pytest.mark.parametrize(
    ("value", "text"),
    [("1.10", "1.1"), ("1e2", "100"), ("-0", "0"), ("true", "true"), ('"007"', "007"), ("18446744073709551616", str(2**64))],
)
def test_key_has_its_canonical_text(value: str, text: str, write: Write) -> None:
    (row,) = rows.read(write("a.jsonl", f'{{"k": {value}}}'), Reading(key_column="k", id_column="k"))
    assert (row.id, row.key) == (text, text)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (f'{{"a": 1}}\n{{"n": {BIG}}}', "line 2 of .*: the column n has an integer beyond 64 bits, .*; write it in quotes"),
        (f'{{"n": [1, {{"m": {BIG}}}]}}', "line 1 of .*: the column n has an integer beyond 64 bits"),
        (f'{{"n": {"1" * 5000}}}', "line 1 of .* is not JSON: number is infinity"),
        (
            '{"id": [1]}',
            "line 1 of .*: the column id cannot identify a row, since a list cannot be a key; use a column of strings or numbers",
        ),
        (b'{"a": "\xd6l"}', "line 1 of .* is not utf-8; name the encoding by --encoding"),
        ('{"a": "\\ud800"}', "line 1 of .* is not JSON"),
        ('{"a": NaN}', "line 1 of .* is not JSON"),
        ('{"a":' * 2000, "line 1 of .* is not JSON"),
        ('{"a": "' + "x" * (5 * 2**20), "line 1 of .* has more than 4,194,304 characters"),
    ],
)
def test_unreadable_line_is_one_sentence(content: Any, sentence: str, write: Write) -> None:
    with pytest.raises(UnreadableFile, match=sentence) as caught:
        list(rows.read(write("a.jsonl", content), Reading(key_column="k")))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_mark_names_the_encoding(encoding: str, write: Write) -> None:
    assert [row.data for row in rows.read(write("a.jsonl", '{"a": "Öl"}\n{"a": 2}\n', encoding))] == [{"a": "Öl"}, {"a": 2}]
