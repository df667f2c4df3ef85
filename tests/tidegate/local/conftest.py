"""Small functions to run, and a `tidegate up` around them."""

from __future__ import annotations

import asyncio
import logging
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from kubernetes import client as kubernetes
from kubernetes import config

from common import http_client
from tidegate.local.up import Up, UpSettings, up

Object = dict[str, Any]
Until = Callable[[Callable[[], Any]], Awaitable[None]]

# Answers with its revision and the request; `/sleep` waits until its folder has a file `go`, `/die` kills the process.
FUNCTION = """
    import gzip, json, os, signal, sys, time
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from pathlib import Path

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        def do_GET(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.path == "/sleep":
                Path(f"asleep-{os.getpid()}").touch()
                while not Path("go").exists():
                    time.sleep(0.01)
            if self.path == "/die":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.path == "/stream":
                return self.stream()
            if self.path == "/gzip":
                return self.answer(gzip.compress(b"small"), "gzip")
            answer = {"revision": os.environ["K_REVISION"], "version": os.environ.get("VERSION"), "pid": os.getpid()}
            answer |= {"method": self.command, "path": self.path, "size": len(body), "headers": dict(self.headers)}
            self.answer(json.dumps(answer).encode())
        def answer(self, data, encoding="identity"):
            self.send_response(304 if self.path == "/same" else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Encoding", encoding)
            if self.path != "/same":
                self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD" and self.path != "/same":
                self.wfile.write(data)
        def stream(self):
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for part in (b"one", b"two"):
                self.wfile.write(b"%x\\r\\n%s\\r\\n" % (len(part), part))
            self.wfile.write(b"0\\r\\n\\r\\n")
        do_POST = do_HEAD = do_GET
        def log_message(self, *args): pass

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The working directory of the processes, with the function `fn.py`."""
    (tmp_path / "fn.py").write_text(textwrap.dedent(FUNCTION))
    return tmp_path


@pytest.fixture
def service() -> Callable[..., Object]:
    """A Knative Service that runs `fn.py`, or another command."""

    def make(
        name: str = "hello", *, command: list[str] | None = None, annotations: dict[str, str] | None = None, version: str = "1", **spec: Any
    ) -> Object:
        container = {
            "image": name,
            "command": command or ["python", "fn.py"],
            "env": [{"name": "VERSION", "value": version}],
            "readinessProbe": {"httpGet": {"path": "/ready"}},
        }
        prefixed = {f"autoscaling.knative.dev/{key}": value for key, value in (annotations or {}).items()}
        template = {"metadata": {"annotations": prefixed}, "spec": {"containers": [container], **spec}}
        return {
            "apiVersion": "serving.knative.dev/v1",
            "kind": "Service",
            "metadata": {"name": name},
            "spec": {"template": template},
        }

    return make


@pytest.fixture
def running(root: Path) -> Callable[..., AbstractAsyncContextManager[Up]]:
    """A whole `tidegate up` for these objects, on free ports."""

    @asynccontextmanager
    async def make(*objects: Object) -> AsyncIterator[Up]:
        settings = UpSettings(manifests=objects, port=0, state_dir=root / "state", project_root=root)
        async with up(settings) as here:
            yield here

    return make


@pytest.fixture
def until() -> Until:
    """Wait for a condition that sends no event, such as a file of another process."""

    async def wait(true: Callable[[], Any]) -> None:
        async with asyncio.timeout(20):
            while not true():  # noqa: ASYNC110 see above
                await asyncio.sleep(0.01)

    return wait


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with http_client.session(timeout_seconds=30) as session:
        yield session


@pytest.fixture
async def api(running: Callable[..., AbstractAsyncContextManager[Up]], service: Callable[..., Object]) -> AsyncIterator[Any]:
    """The Kubernetes client on the API of a `tidegate up` with the service `hello`."""
    logging.getLogger("kubernetes").setLevel(logging.WARNING)
    async with running(service()) as here:
        with await asyncio.to_thread(config.new_client_from_config, here.running.kubeconfig) as connection:
            yield kubernetes.CustomObjectsApi(connection)
