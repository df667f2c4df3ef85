from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import orjson
import pytest
import xgboost as xgb

from functions.runtime.contract.card import Artifact, Card, Input, Output, dump

WIDE = tuple(f"f{index}" for index in range(30))


class Reply(NamedTuple):
    """A parsed response; `status` is 0 if the server closed the connection without one."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def sentence(self) -> str:
        document = orjson.loads(self.body)
        return str(document["error"] if "error" in document else document["detail"])


class Connection:
    """A connection for raw bytes."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._received = b""

    def send(self, data: bytes) -> None:
        """Send bytes; the server may respond and close before it has read all of them."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(data)

    def reply(self, *, head: bool = False) -> Reply:
        while b"\r\n\r\n" not in self._received:
            if not self._more():
                return Reply(0, {}, self._received)
        top, _, self._received = self._received.partition(b"\r\n\r\n")
        status, *lines = top.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        length = 0 if head else int(headers.get("content-length", 0))
        while len(self._received) < length and self._more():
            pass
        body, self._received = self._received[:length], self._received[length:]
        return Reply(int(status.split()[1]), headers, body)

    def is_closed(self) -> bool:
        return not self._received and not self._more()

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _more(self) -> bool:
        try:
            data = self.socket.recv(2**18)
        except ConnectionResetError:
            return False
        self._received += data
        return bool(data)


def request(path: str, body: bytes = b"", *headers: str, method: str = "POST") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "host: x", f"content-length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def matrix(count: int, width: int = len(WIDE), **fields: Any) -> bytes:
    """A JSON body with rows of the value 0.5."""
    tensor = {"name": "x", "shape": [count, width], "datatype": "FP32", "data": [0.5] * (count * width)}
    return orjson.dumps({"inputs": [tensor], **fields})


def binary(path: str, inputs: list[tuple[str, list[int], str, bytes]], **fields: Any) -> bytes:
    """A whole request with binary tensors: name, shape, datatype and content of each."""
    tensors = [
        {"name": name, "shape": shape, "datatype": datatype, "parameters": {"binary_data_size": len(content)}}
        for name, shape, datatype, content in inputs
    ]
    head = orjson.dumps({"inputs": tensors, **fields})
    length = f"inference-header-content-length: {len(head)}"
    return request(path, head + b"".join(content for *_, content in inputs), length, "content-type: application/octet-stream")


class Server:
    """The function as a process, with its log and its memory.

    It also makes the requests, since tests cannot import this file.
    """

    request = staticmethod(request)
    matrix = staticmethod(matrix)
    binary = staticmethod(binary)

    def __init__(self, models: Path, **environ: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "functions.flights"],
            env={**os.environ, "TIDEGATE_MODEL": str(models), "PORT": "0", "TIDEGATE_HOST": "127.0.0.1", **environ},
            stderr=subprocess.PIPE,
            text=True,
        )
        self._lines: list[str] = []
        assert self.process.stderr is not None
        while not (found := re.search(r"on port (\d+)", self._line(self.process.stderr))):
            assert self.process.poll() is None, self._lines
        self.port = int(found[1])
        self._reader = threading.Thread(target=self._lines.extend, args=(self.process.stderr,))
        self._reader.start()

    def _line(self, stream: IO[str]) -> str:
        self._lines.append(stream.readline())
        return self._lines[-1]

    def connect(self) -> Connection:
        return Connection(self.port)

    def ask(self, request: bytes, *, head: bool = False) -> Reply:
        """Send a request on a new connection."""
        with self.connect() as connection:
            connection.send(request)
            return connection.reply(head=head)

    def metric(self, name: str) -> float:
        found = re.search(rf"^{name} (\S+)$", self.ask(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").body.decode(), re.MULTILINE)
        assert found, name
        return float(found[1])

    def mebibytes(self, field: str = "VmHWM") -> float:
        """The peak of the memory, or (VmRSS) its current size."""
        found = re.search(rf"{field}:\s+(\d+)", Path(f"/proc/{self.process.pid}/status").read_text())
        assert found
        return int(found[1]) / 1024

    def stop(self, *signals: int) -> int:
        """Stop the server by signals, by default SIGTERM; returns the exit status."""
        for number in signals or (signal.SIGTERM,):
            self.process.send_signal(number)
        status = self.process.wait(60)
        self._reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()
        return status

    @property
    def log(self) -> str:
        """The log, which is complete only after the server has stopped."""
        return "".join(self._lines)


@pytest.fixture(scope="session")
def models(table: tuple[np.ndarray, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`little` with five required inputs, `wide` of 200 trees with thirty optional ones, and `fruit` with many kinds."""
    folder = tmp_path_factory.mktemp("models")
    features, target = table
    random = np.random.default_rng(3).random((600, len(WIDE)), dtype=np.float32)
    little = xgb.train({"max_depth": 4}, xgb.DMatrix(features, target, feature_names=list("abcde")), 10)
    wide = xgb.train({"max_depth": 6}, xgb.DMatrix(random, target, feature_names=list(WIDE)), 200)
    codes = np.floor(random[:, :4] * 1.9)
    types = {"feature_names": ["kind", "grams", "ripe", "seeds"], "feature_types": ["c", "q", "q", "q"]}
    three = {"max_depth": 3, "objective": "multi:softprob", "num_class": 3}
    fruit = xgb.train(three, xgb.DMatrix(codes, codes[:, 1] + codes[:, 2], enable_categorical=True, **types), 3)
    kinds = (
        Input("kind", "BYTES", categories=("pear", "quince")),
        Input("grams", "FP64", minimum=0, maximum=100),
        Input("ripe", "BOOL", optional=True),
        Input("seeds", "INT16", optional=True),
    )
    label = Output("label", meaning="label", classes=("bad", "fair", "good"))
    for name, booster, inputs in (
        ("fruit", fruit, kinds),
        ("little", little, tuple(Input(item, "FP32") for item in "abcde")),
        ("wide", wide, tuple(Input(item, "FP32", optional=True) for item in WIDE)),
    ):
        outputs = (Output("y"), label) if name == "fruit" else (Output("y"),)
        (folder / name).mkdir()
        booster.save_model(folder / name / "m.ubj")
        (folder / name / "model.yaml").write_text(dump(Card(name, inputs, outputs, Artifact("m.ubj"))))
    return folder


@pytest.fixture(scope="module")
def start_server(models: Path) -> Iterator[Callable[..., Server]]:
    """Start the function with settings; at the end it must still run and must not have logged an internal error."""
    servers: list[Server] = []

    def start(**environ: str) -> Server:
        servers.append(Server(models, **environ))
        return servers[-1]

    yield start
    for server in servers:
        if server.process.returncode is None:
            assert server.stop() == 0
        assert "Traceback" not in server.log, server.log


@pytest.fixture(scope="module")
def server(start_server: Callable[..., Server]) -> Server:
    return start_server()
