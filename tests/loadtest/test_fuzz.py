from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from loadtest.fuzz import memory
from loadtest.fuzz.__main__ import main
from loadtest.fuzz.damage import damaged
from loadtest.fuzz.wire import Target


@pytest.fixture
def free_port() -> Iterator[int]:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        yield probe.getsockname()[1]


def test_bytes_are_damaged_equally_for_equal_seeds() -> None:
    sent = b"POST / HTTP/1.1\r\nhost: x\r\n\r\n"
    found = [damaged(random.Random(1), sent) for _ in range(2)]  # noqa: S311 not for secrets
    assert found[0] == found[1] != sent


def test_empty_bytes_can_be_damaged() -> None:
    source = random.Random(2)  # noqa: S311
    assert all(isinstance(damaged(source, b""), bytes) for _ in range(100))


def test_memory_of_an_ended_process_is_an_error() -> None:
    assert memory.resident([os.getpid()])[os.getpid()] > 1
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    with pytest.raises(memory.ProcessEnded, match="has ended"):
        memory.resident([process.pid])


def test_port_without_a_server_is_named(free_port: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--port", str(free_port), "--requests", "1"]) == 1
    assert "fuzz: seed 1:" in capsys.readouterr().err


def test_server_that_closes_at_once_gives_no_response() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        closer = threading.Thread(target=lambda: listener.accept()[0].close())
        closer.start()
        assert Target(listener.getsockname()[1]).get("/") is None
        closer.join()
