"""A Kubernetes API with nothing but the Knative Services of one function, which the router watches."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson

Shares = Mapping[str, int]


def service(name: str, port: int, shares: Shares) -> dict[str, Any]:
    """Return a Knative Service whose revisions, by tag, have these percentages, and all of which are on one port."""
    traffic = [{"revisionName": f"{name}-{tag}", "tag": tag, "percent": percent} for tag, percent in shares.items()]
    status = {"address": {"url": f"http://{name}.localhost:{port}"}, "traffic": traffic}
    return {"metadata": {"name": name}, "spec": {}, "status": status}


@contextmanager
def platform(services: list[dict[str, Any]]) -> Iterator[str]:
    """Serve the API with these Services; yields its URL."""
    ended = threading.Event()
    listing = orjson.dumps({"metadata": {"resourceVersion": "1"}, "items": services})

    class Api(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "application/json")
            if "watch=" in self.path:  # nothing changes
                self.end_headers()
                self.wfile.flush()
                ended.wait()
                return
            self.send_header("content-length", str(len(listing)))
            self.end_headers()
            self.wfile.write(listing)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 the name in the standard library
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Api) as server:
        server.daemon_threads = True
        server.block_on_close = False
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            ended.set()
            server.shutdown()
