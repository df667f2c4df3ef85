"""A Kubernetes API with nothing but Knative Services, which the router watches."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

Shares = Mapping[str, int]
Service = dict[str, Any]


def service(name: str, port: int, shares: Shares) -> Service:
    """Return a Knative Service whose revisions, by tag, have these percentages, and all of which are on one port."""
    traffic = [{"revisionName": f"{name}-{tag}", "tag": tag, "percent": percent} for tag, percent in shares.items()]
    status = {"address": {"url": f"http://{name}.localhost:{port}"}, "traffic": traffic}
    return {"metadata": {"name": name}, "spec": {}, "status": status}


class Platform:
    """The API at a URL. Those who watch it get each change."""

    def __init__(self, services: list[Service]) -> None:
        self.url = ""
        self._services = {item["metadata"]["name"]: item for item in services}
        self._changes: list[bytes] = []
        self._changed = threading.Condition()
        self._ended = False

    def change(self, changed: Service) -> None:
        """Replace a Service."""
        with self._changed:
            self._services[changed["metadata"]["name"]] = changed
            self._changes.append(self._event(changed))
            self._changed.notify_all()

    def listing(self) -> bytes:
        """The list of all Services, whose version is the number of changes."""
        with self._changed:
            return orjson.dumps({"metadata": {"resourceVersion": str(len(self._changes))}, "items": list(self._services.values())})

    def changes(self, version: int) -> Iterator[bytes]:
        """The changes since a version, until the end."""
        while True:
            with self._changed:
                while not self._ended and len(self._changes) <= version:
                    self._changed.wait()
                if self._ended:
                    return
                found = self._changes[version:]
            yield from found
            version += len(found)

    def end(self) -> None:
        """End all watches."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _event(self, changed: Service) -> bytes:
        metadata = changed["metadata"] | {"resourceVersion": str(len(self._changes) + 1)}
        return orjson.dumps({"type": "MODIFIED", "object": changed | {"metadata": metadata}}) + b"\n"


@contextmanager
def platform(services: list[Service]) -> Iterator[Platform]:
    """Serve the API with these Services."""
    here = Platform(services)

    class Api(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "application/json")
            if "watch=" in self.path:
                self.end_headers()
                self.wfile.flush()
                self._watch()
                return
            listing = here.listing()
            self.send_header("content-length", str(len(listing)))
            self.end_headers()
            self.wfile.write(listing)

        def _watch(self) -> None:
            version = int(parse_qs(urlsplit(self.path).query)["resourceVersion"][0])
            with suppress(BrokenPipeError, ConnectionResetError):  # the router has ended
                for change in here.changes(version):
                    self.wfile.write(change)
                    self.wfile.flush()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 the name in the standard library
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Api) as server:
        server.daemon_threads = True
        server.block_on_close = False
        here.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield here
        finally:
            here.end()
            server.shutdown()
