"""Factories of manifests, and a server with given responses."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tidegate.documents import Document

Object = dict[str, Any]
Service = Callable[..., Document]
Answers = dict[str, tuple[int, Object]]
Server = Callable[[Answers], AbstractContextManager[str]]


@pytest.fixture
def service() -> Service:
    """A Knative Service with one container, which has the given fields."""

    def make(name: str = "flights", *, traffic: list[Object] | None = None, revision: str | None = None, **container: Any) -> Document:
        template = {"metadata": {"name": revision} if revision else {}, "spec": {"containers": [{"image": name, **container}]}}
        spec = {"template": template, **({"traffic": traffic} if traffic else {})}
        item = {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}
        return Document(f"{name}.yaml", item)

    return make


@pytest.fixture
def server() -> Server:
    """A web server on a free port of loopback with a status and a body for each path; 404 for any other."""

    @contextmanager
    def serve(answers: Answers) -> Iterator[str]:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = answers.get(self.path.partition("?")[0], (404, {}))
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
            threading.Thread(target=listening.serve_forever, args=(0.02,), daemon=True).start()
            try:
                yield f"127.0.0.1:{listening.server_port}"
            finally:
                listening.shutdown()

    return serve
