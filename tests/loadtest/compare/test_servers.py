from __future__ import annotations

import socketserver
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest

from loadtest.compare.model import Requests, Trained
from loadtest.compare.processes import Process
from loadtest.compare.servers import OURS, SERVERS, Server, StartMethod, WrongScores, check, prepare
from loadtest.compare.wire import binary_request, json_request, length, request

_ONE, _MANY = [[0.25]], [[0.25], [0.5]]
_TRAINED = Trained(
    Path(),
    Path(),
    Requests((json_request("/", _ONE),), (json_request("/", _MANY),), (binary_request("/", _MANY),), ([0.25],), ([0.25, 0.5],)),
)
Answer = Callable[[bytes], bytes]


@contextmanager
def _serve(answer: Answer) -> Iterator[Process]:
    """A server that answers each request with the result of `answer`."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            received = b""
            while (end := length(received)) is None or len(received) < end:
                received += self.request.recv(65_536)
            self.request.sendall(answer(received))

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        try:
            yield Process(0, server.server_address[1], 0.0)
        finally:
            server.shutdown()


def _json(sent: bytes, shift: float = 0.0) -> bytes:
    """Each row's only value as its score; an error for anything but JSON."""
    try:
        tensor = orjson.loads(sent.partition(b"\r\n\r\n")[2])["inputs"][0]
    except ValueError:
        return b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"
    body = orjson.dumps({"outputs": [tensor | {"data": [value + shift for value in tensor["data"]]}]})
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


def _binary(sent: bytes) -> bytes:
    if b"Inference-Header" not in sent:
        return _json(sent)
    data = struct.pack("<2f", 0.25, 0.5)
    head = orjson.dumps({"outputs": [{"name": "score", "datatype": "FP32", "shape": [2], "parameters": {"binary_data_size": 8}}]})
    return (
        b"HTTP/1.1 200 OK\r\ninference-header-content-length: %d\r\ncontent-length: %d\r\n\r\n" % (len(head), len(head) + 8) + head + data
    )


@pytest.mark.parametrize(("answer", "binary"), [(_json, False), (_binary, True)])
def test_support_of_binary_tensors_is_detected(answer: Answer, binary: bool) -> None:
    with _serve(answer) as process:
        assert check(process, _TRAINED) is binary


def test_server_with_wrong_scores_is_refused() -> None:
    with _serve(lambda sent: _json(sent, 1e-5)) as process, pytest.raises(WrongScores, match="scores differ from the library's"):
        check(process, _TRAINED)


def test_first_start_method_that_answers_is_used(tmp_path: Path) -> None:
    program = "import sys; from loadtest.compare import noop; noop.uvloop.run(noop.serve(int(sys.argv[1])))"
    methods = (
        StartMethod(lambda python, trained, port: [str(python), "-c", "raise SystemExit('cannot')"]),
        StartMethod(lambda python, trained, port: [sys.executable, "-c", program, str(port)], note="started otherwise"),
    )
    # The constant response of the no-op server.
    score = 0.25425482
    asked = request("/", b"{}")
    trained = Trained(Path(), Path(), Requests((asked,), (asked,), (asked,), ([score],), ([score],)))
    ready = prepare(Server("any", "Any", (), (), methods), trained, tmp_path, tmp_path / "logs")
    assert ready.notes == ["started otherwise"]


def test_function_is_started_with_its_defaults() -> None:
    ours = next(server for server in SERVERS if server.name == OURS)
    trained = Trained(Path("/models/bench"), Path(), _TRAINED.requests)
    assert ours.methods[0].command(Path("python"), trained, 8080) == ["python", "-m", "functions.flights"]
    environ = ours.methods[0].environ(trained, 8080)
    assert environ == {"TIDEGATE_MODEL": "/models/bench", "TIDEGATE_HOST": "127.0.0.1", "PORT": "8080"}
