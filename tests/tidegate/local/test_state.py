from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tidegate.local.errors import AlreadyRunning, UnusableFolder
from tidegate.local.state import Running, announced, claimed, read

HERE = Running(
    pid=os.getpid(),
    gateway="http://127.0.0.1:8080",
    api="http://127.0.0.1:8081",
    kubeconfig="/x/kubeconfig",
    bootstrap_servers="127.0.0.1:9092",
    kafka_api_version=None,
    kafka="127.0.0.1:9092",
    started="2026-01-01T00:00:00Z",
)


def test_state_file_is_read_until_its_process_ends(tmp_path: Path) -> None:
    with announced(tmp_path, HERE):
        assert read(tmp_path) == HERE
    assert read(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_state_file_of_a_dead_process_is_ignored(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    with announced(tmp_path, replace(HERE, pid=dead.pid)):
        assert read(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}'])
def test_invalid_state_file_is_ignored(tmp_path: Path, text: str) -> None:
    (tmp_path / "up.json").write_text(text)
    assert read(tmp_path) is None


def test_folder_is_locked_by_one_process(tmp_path: Path) -> None:
    with claimed(tmp_path):
        with pytest.raises(AlreadyRunning, match="it is just starting or stopping"), claimed(tmp_path):
            pass
        with announced(tmp_path, HERE), pytest.raises(AlreadyRunning, match=f"pid {HERE.pid}, http://127.0.0.1:8080"), claimed(tmp_path):
            pass
    with claimed(tmp_path):
        pass


def test_unwritable_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnusableFolder, match=r"cannot write into .*file: .*choose another --state-dir"), claimed(tmp_path / "file"):
        pass
