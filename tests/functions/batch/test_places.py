from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from common.errors import InvalidSetting
from functions.batch.places import folders, opened, writable
from functions.runtime.errors import InvalidInput


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """An allowed folder with a file, beside a secret file that is outside."""
    (tmp_path / "secret").write_text("secret")
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "in").write_text("in")
    return folder


@pytest.mark.parametrize(
    "path",
    [
        "s3://bucket/key?endpoint_override=attacker.example:9000&scheme=http",
        "gs://bucket/key",
        "hdfs://namenode/key",
        "file:///etc/passwd",
        "S3://bucket/key",
        "abfss://user:secret@container/key",
    ],
)
def test_a_uri_is_refused_and_not_repeated(path: str) -> None:
    for use in (opened, writable):
        with pytest.raises(InvalidInput, match=r"URI of the scheme .*; files of this machine alone are read and written") as caught:
            use(path)
        assert "secret" not in str(caught.value)
        assert "endpoint" not in str(caught.value)


def test_a_file_below_an_allowed_folder_is_opened(data: Path) -> None:
    with opened(str(data / "in"), [data]) as file:
        assert file.read() == b"in"
    assert writable(str(data / "out"), [data]) == data / "out"


def test_what_leads_out_of_the_allowed_folders_is_refused(data: Path) -> None:
    (data / "link").symlink_to(data.parent / "secret")
    (data / "folder").symlink_to(data.parent)
    sibling = data.parent / "data-other"
    sibling.mkdir()
    for path in [data.parent / "secret", data / ".." / "secret", data / "link", data / "folder" / "secret", sibling / "in"]:
        for use in (opened, writable):
            with pytest.raises(InvalidInput, match=r"outside the folders that a batch may use .*; TIDEGATE_BATCH_PATHS names them"):
                use(str(path), [data])


def test_nothing_is_allowed_by_no_folder(data: Path) -> None:
    with pytest.raises(InvalidInput, match=r"outside the folders that a batch may use \(none\)"):
        opened(str(data / "in"), [])


def test_what_is_not_a_file_is_named(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(data / "pipe")
    monkeypatch.chdir(data)  # since a socket's path must be short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        named = {"pipe": "a pipe", ".": "a folder", "socket": "a socket", "/dev/zero": "a device"}
        for path, what in named.items():
            with pytest.raises(InvalidInput, match=what):
                opened(path)
        for path in named:
            with pytest.raises(InvalidInput, match="is not a file; choose another name"):
                writable(path)


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("a\0b", "has a NUL character, which no file's name has"),
        ("\ud800", "cannot be followed"),
        ("nowhere", "there is no file nowhere; check the path"),
        ("x" * 5000, "cannot read 'xxx.*: File name too long"),
    ],
)
def test_a_path_that_leads_nowhere_is_one_sentence(path: str, sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        opened(path)


def test_an_output_needs_a_folder_and_a_name(data: Path) -> None:
    with pytest.raises(InvalidInput, match=r"there is no folder .*/no for the output; create it first"):
        writable(str(data / "no" / "out"), [data])
    with pytest.raises(InvalidInput, match="File name too long"):
        writable(str(data / ("x" * 300)), [data])


def test_the_setting_names_folders(data: Path) -> None:
    assert folders({"TIDEGATE_BATCH_PATHS": f" {data}/ , {data}/../data,"}) == (data, data)
    assert folders({}) == (Path("/data").resolve(), Path("/tmp").resolve())  # noqa: S108
    with pytest.raises(InvalidSetting, match="TIDEGATE_BATCH_PATHS has 'data', which is not an absolute path"):
        folders({"TIDEGATE_BATCH_PATHS": "data"})
