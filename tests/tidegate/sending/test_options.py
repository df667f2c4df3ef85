from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from common.errors import TidegateError
from tidegate.sending import options
from tidegate.sending.options import event_of


def make(**changes: Any) -> Any:
    given: dict[str, Any] = {"data": None, "id_": None, "source": "/s", "subject": None, "content_type": None, "extensions": []}
    return event_of("t", **{**given, **changes})


def test_attributes_are_those_of_the_options() -> None:
    event = make(data='{"a":  1}', id_="7", subject="x", extensions=["partitionkey=a=b", "time=2024-01-01T00:00:00Z"])
    assert event.data == b'{"a":  1}'
    assert event.attributes == {
        "specversion": "1.0",
        "id": "7",
        "source": "/s",
        "type": "t",
        "subject": "x",
        "datacontenttype": "application/json",
        "partitionkey": "a=b",
        "time": "2024-01-01T00:00:00Z",
    }


def test_event_without_data_has_no_media_type_and_a_new_id() -> None:
    first, second = make(), make()
    assert first.data is None
    assert "datacontenttype" not in first.attributes
    assert first.id != second.id


def test_data_is_read_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"[1]")))
    assert make(data="-").data == b"[1]"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"data": "{a"}, "the data is not JSON: .*column 2 .*; fix it, or name its media type by --content-type"),
        ({"data": "@broken.json"}, "broken.json is not JSON: unexpected end of data"),
        ({"data": "@none.json"}, "--data cannot read none.json: No such file or directory"),
        ({"data": "@large.json"}, "large.json is larger than 8 MiB; send a reference to the data"),
        ({"extensions": ["a"]}, "--set has 'a' without a value; write --set a=VALUE"),
        ({"extensions": ["id=1"]}, "--set cannot change id; use --id"),
        ({"extensions": ["specversion=2"]}, "--set cannot change specversion; events are sent as 1.0"),
        ({"extensions": ["data=1"]}, "--set cannot change data; use --data"),
        ({"extensions": ["partitionKey=1"]}, "invalid attribute name 'partitionKey'"),
        ({"extensions": ["a=x\ny"]}, "a"),
        ({"id_": ""}, "id"),
        ({"source": ""}, "source"),
    ],
    ids=["json", "file", "missing", "large", "value", "option", "version", "data", "name", "control", "id", "source"],
)
def test_invalid_option_is_one_sentence(changes: dict[str, Any], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("broken.json").write_text("[1,")
    with Path("large.json").open("wb") as file:
        file.truncate(options.MAX_DATA_BYTES + 1)
    with pytest.raises(TidegateError, match=sentence):
        make(**changes)
