"""A subscriber that keeps the events it receives, and answers as the end of its path says.

POST …/answer/STATUS        is answered with this status
POST …/fail/TIMES/STATUS    also, as many times for each event; then it is accepted
POST …/reply/TYPE           is answered with an event of this type
POST …/text                 is answered with a text that is no event
GET /ids/PATH               has the ids of the attempts at this path, sorted
GET /order/PATH             has them in the order of arrival, as one string
GET /more/COUNT/PATH        has whether there were more attempts than that
GET /events/PATH            has the events themselves, sorted by id: the first attempt of each
GET /first/PATH             has the first event
GET /probes/PATH            has the number of events with the id `probe`, which are accepted and have no other effect
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter, defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Attributes = dict[str, str]

received: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
probes: Counter[str] = Counter()


class Recorder(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.sent().decode()
        headers = {name.lower(): value for name, value in self.headers.items()}
        attributes = {name.removeprefix("ce-"): value for name, value in headers.items() if name.startswith("ce-")}
        if attributes.get("id") == "probe":
            probes[self.path] += 1
            self.respond(204)
            return
        attempts = received[self.path]
        kind = headers.get("content-type")
        attempts.append({**attributes, "data": json.loads(body) if body and "json" in str(kind) else body, "content-type": kind})
        count = sum(attempt.get("id") == attributes.get("id") for attempt in attempts)
        if found := re.search(r"/answer/(\d+)$", self.path):
            self.respond(int(found[1]), b"refused" if found[1] >= "300" else b"")
        elif found := re.search(r"/fail/(\d+)/(\d+)$", self.path):
            self.respond(int(found[2]) if count <= int(found[1]) else 204)
        elif found := re.search(r"/reply/([\w.]+)$", self.path):
            reply = {"specversion": "1.0", "id": f"{attributes['id']}-reply", "source": "/recorder", "type": found[1]}
            self.respond(200, body.encode(), {**{f"ce-{name}": value for name, value in reply.items()}, "content-type": "application/json"})
        elif self.path.endswith("/text"):
            self.respond(200, b"done", {"content-type": "text/plain"})
        else:
            self.respond(204)

    def do_GET(self) -> None:
        _, view, path = self.path.split("/", 2)
        limit, path = path.split("/", 1) if view == "more" else ("0", path)
        attempts = received[f"/{path}"]
        # A Broker keeps no order between events.
        events = sorted({attempt.get("id"): attempt for attempt in reversed(attempts)}.values(), key=lambda event: str(event.get("id")))
        views: dict[str, Any] = {
            "ids": sorted((attempt.get("id") for attempt in attempts), key=str),
            "order": " ".join(str(attempt.get("id")) for attempt in attempts),
            "more": len(attempts) > int(limit),
            "events": events,
            "first": attempts[0] if attempts else {},
            "probes": probes[f"/{path}"],
        }
        self.respond(200, json.dumps(views[view]).encode(), {"content-type": "application/json"})

    def respond(self, status: int, body: bytes = b"", headers: Attributes | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def sent(self) -> bytes:
        if self.headers.get("transfer-encoding", "") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def log_message(self, *_: Any) -> None:
        pass


if __name__ == "__main__":
    host = os.environ.get("TIDEGATE_HOST", "0.0.0.0")  # noqa: S104 a pod is reached by its own address
    ThreadingHTTPServer((host, int(os.environ["PORT"])), Recorder).serve_forever()
