from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from functions.batch.errors import InvalidPath
from functions.batch.storage.paths import open_input


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
def test_uri_is_refused_without_its_secrets(path: str) -> None:
    with pytest.raises(InvalidPath, match=r"URI of the scheme .*; a batch reads and writes local files; mount the storage") as caught:
        open_input(path)
    assert "secret" not in str(caught.value)
    assert "endpoint" not in str(caught.value)


def test_file_below_an_allowed_folder_is_opened(data: Path) -> None:
    with open_input(str(data / "in"), [data]) as file:
        assert file.read() == b"in"


def test_path_out_of_the_allowed_folders_is_refused(data: Path) -> None:
    (data / "link").symlink_to(data.parent / "secret")
    (data / "folder").symlink_to(data.parent)
    sibling = data.parent / "data-other"
    sibling.mkdir()
    for path in [data.parent / "secret", data / ".." / "secret", data / "link", data / "folder" / "secret", sibling / "in"]:
        with pytest.raises(InvalidPath, match=r"outside the folders that a batch may use .*; set TIDEGATE_BATCH_PATHS to allow others"):
            open_input(str(path), [data])


def test_every_path_is_refused_without_allowed_folders(data: Path) -> None:
    with pytest.raises(InvalidPath, match=r"outside the folders that a batch may use \(none\)"):
        open_input(str(data / "in"), [])


def test_kind_of_a_special_file_is_named(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(data / "pipe")
    monkeypatch.chdir(data)  # since a socket's path must be short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        named = {"pipe": "a pipe", ".": "a folder", "socket": "a socket", "/dev/zero": "a device"}
        for path, what in named.items():
            with pytest.raises(InvalidPath, match=what):
                open_input(path)


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("a\0b", "has a NUL character; remove it"),
        ("\ud800", "cannot be resolved"),
        ("nowhere", "file nowhere not found; check the path"),
        ("x" * 5000, "cannot read 'xxx.*: File name too long"),
    ],
)
def test_unusable_path_is_refused(path: str, sentence: str) -> None:
    with pytest.raises(InvalidPath, match=sentence):
        open_input(path)
