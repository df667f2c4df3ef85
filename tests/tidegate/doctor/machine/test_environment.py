from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tidegate.doctor.finding import Level
from tidegate.doctor.machine import environment, ports
from tidegate.local.state import Running


def _free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _running(port: int) -> Running:
    return Running(
        pid=os.getpid(),
        gateway=f"http://localhost:{port}",
        api="http://x",
        kubeconfig="",
        bootstrap_servers="127.0.0.1:1",
        kafka_api_version=None,
        kafka="embedded",
        started="",
    )


def test_this_python_will_do_and_an_older_one_is_told_what_to_install() -> None:
    assert environment.python().level is Level.OK
    found = environment.python((3, 9, 2))
    assert found.level is Level.ERROR
    assert found.message == "is 3.9.2; 3.11 or newer is needed."
    assert "python3.11" in found.remedy


def test_the_packages_of_the_workbench_are_here() -> None:
    (found,) = environment.packages()
    assert found.level is Level.OK


@pytest.mark.parametrize(
    ("requirement", "problem"),
    [
        ("no-such-package>=1", "no-such-package is not installed."),
        ("typer>=9000.1; extra == 'workbench'", "9000.1 or newer is needed."),
        ("kafka-python[crc32c]>=0.1", ""),
        ("xgboost-cpu>=1; sys_platform == 'linux'", ""),
    ],
)
def test_a_package_is_there_and_new_enough(requirement: str, problem: str) -> None:
    (found,) = environment.packages([requirement])
    assert found.level is (Level.ERROR if problem else Level.OK)
    assert problem in found.message


def test_a_package_that_breaks_when_it_is_imported_is_told_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_package.py").write_text("raise OSError('libgomp.so.1: cannot open')")
    (tmp_path / "broken_package-1.0.dist-info").mkdir()
    (tmp_path / "broken_package-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: broken_package\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    (found,) = environment.packages(["broken_package>=1"])
    assert found.message == "broken_package is installed and cannot be imported: libgomp.so.1: cannot open."


def test_a_tool_that_is_missing_is_a_note_and_one_that_is_there_tells_its_version(tmp_path: Path) -> None:
    tool = tmp_path / "buildah"
    tool.write_text("#!/bin/sh\necho buildah version 1.41\n")
    tool.chmod(0o755)
    found = {item.subject: item for item in environment.tools(lambda name: str(tool) if name == "buildah" else None)}
    assert found["buildah"].message == "buildah version 1.41"
    assert {found["kubectl"].level, found["skaffold"].level} == {Level.NOTE}


def test_a_free_port_is_free() -> None:
    assert ports.check(_free(), None, needed=True).level is Level.OK


def test_a_port_that_is_taken_names_the_process() -> None:
    waits = "import socket, sys; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); sys.stdin.read()"
    process = subprocess.Popen([sys.executable, "-c", waits], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process:
        port = int(process.stdout.readline())
        found = ports.check(port, None, needed=True)
        for_a_cluster = ports.check(port, None, needed=False)
        process.communicate("")
    assert found.level is Level.ERROR
    assert "is taken by " in found.message
    assert "tidegate up --port 0" in found.remedy
    assert for_a_cluster.level is Level.NOTE
    if Path("/proc/net/tcp").exists():
        assert f"(pid {process.pid})" in found.message


def test_the_port_of_a_tidegate_that_runs_here_is_its_own() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        found = ports.check(port, _running(port), needed=True)
    assert found.level is Level.OK
    assert f"pid {os.getpid()}" in found.message
