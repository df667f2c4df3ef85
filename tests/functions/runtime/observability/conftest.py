from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue

import pytest

from functions.runtime.contract.card import Artifact, Card, Input, Output
from functions.runtime.contract.outputs import resolve
from functions.runtime.contract.signature import Signature
from functions.runtime.observability.exchange import Exchange
from functions.runtime.observability.metrics import Metrics, ModelMetrics


@dataclass
class Receiver:
    """A real HTTP server on loopback that keeps requests and returns `statuses` in order, repeating the last."""

    url: str
    statuses: list[int] = field(default_factory=lambda: [200])
    posts: Queue[tuple[str, dict[str, str], bytes]] = field(default_factory=Queue)
    connections: set[tuple[str, int]] = field(default_factory=set)
    gate: threading.Event = field(default_factory=threading.Event)
    refuses_batches: int = 0

    def next(self) -> tuple[str, dict[str, str], bytes]:
        return self.posts.get(timeout=20)

    def status(self, headers: dict[str, str]) -> int:
        if self.refuses_batches and "batch" in headers["content-type"]:
            return self.refuses_batches
        return self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            found.connections.add(self.client_address)
            found.posts.put((self.path, headers, body))
            found.gate.wait(20)
            self.send_response(found.status(headers))
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    found = Receiver(f"http://127.0.0.1:{server.server_port}/events")
    found.gate.set()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield found
    found.gate.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def exchange() -> Callable[..., Exchange]:
    """Make an exchange: by default a successful request of one row that took 3 ms."""

    def make(**changes: object) -> Exchange:
        usual = {
            "protocol": "v2",
            "route": "/v2/models/{model}/infer",
            "began": 1_700_000_000_250_000_000,
            "model": "flights",
            "version": "2",
            "rows": 1,
            "status": 200,
            "decoded": 1_000_000,
            "predicted": 2_500_000,
            "took": 3_000_000,
        }
        return Exchange(**(usual | changes))  # type: ignore[arg-type]

    return make


@pytest.fixture
def served() -> Callable[..., ModelMetrics]:
    """Register a model with the features a and b."""

    def make(metrics: Metrics, signature: Signature, *outputs: Output) -> ModelMetrics:
        inputs = (Input("a", "FP32"), Input("b", "FP32"))
        card = Card("flights", inputs, outputs or (Output("score"),), Artifact("model.ubj", "ab" * 32), version="2")
        return metrics.model(card, signature, resolve(card, signature))

    return make
