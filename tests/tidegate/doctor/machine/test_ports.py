from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from tidegate.doctor.finding import Level
from tidegate.doctor.machine import ports
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


def test_free_port_is_ok() -> None:
    assert ports.check(_free(), None, needed=True).level is Level.OK


def test_taken_port_names_the_process() -> None:
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


def test_port_of_a_running_tidegate_up_is_ok() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        found = ports.check(port, _running(port), needed=True)
    assert found.level is Level.OK
    assert f"pid {os.getpid()}" in found.message
