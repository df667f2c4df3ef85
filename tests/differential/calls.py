"""HTTP requests of a step, over a connection of their own, with nothing added or hidden by a client."""

from __future__ import annotations

import base64
import json
import socket
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from urllib.parse import urlsplit

from tests.differential.comparison import OTHERS, Object
from tests.differential.sides import Side

_TIMEOUT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Answer:
    """A response. `headers` have lower-case names."""

    status: int
    headers: dict[str, str]
    body: bytes

    def seen(self) -> Object:
        """The response in the form of a step's `expect`."""
        content = self.body.decode("utf-8", "backslashreplace")
        try:
            value = {"json": json.loads(content)}
        except ValueError:
            value = {"text": content}
        return {"status": self.status, "headers": {**self.headers, OTHERS: ""}, **value}


def answer(side: Side, wanted: Object) -> Answer:
    """Send the request of a step to a `service` (or its `tag`), to a `host`, or to the `address` of another object."""
    endpoint, host, path = _target(side, wanted)
    body = payload(wanted)
    with closing(HTTPConnection(*endpoint, timeout=_TIMEOUT_SECONDS)) as connection:
        method = wanted.get("method", "GET" if body is None else "POST")
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", host)
        if "json" in wanted:
            connection.putheader("Content-Type", wanted.get("type", "application/json"))
        if "tail" in wanted:
            connection.putheader("Inference-Header-Content-Length", str(len(json.dumps(wanted["json"]))))
        for name, value in wanted.get("headers", {}).items():
            connection.putheader(name, value)
        _send(connection, wanted, body)
        response = connection.getresponse()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())


def payload(wanted: Object) -> bytes | None:
    """The body: `json`, followed by the bytes of binary tensors in `tail`; or a `text`; or a number of `spaces`."""
    if "json" in wanted:
        return json.dumps(wanted["json"]).encode() + base64.b64decode(wanted.get("tail", ""))
    if "text" in wanted:
        return str(wanted["text"]).encode()
    return b" " * wanted["spaces"] if "spaces" in wanted else None


def _target(side: Side, wanted: Object) -> tuple[tuple[str, int], str, str]:
    """Where to connect, the host, and the path. A `path` replaces that of an object's address."""
    if "address" in wanted:
        ((resource, name),) = wanted["address"].items()
        url = side.get(resource, name)["status"]["address"]["url"]
        return side.connect(url), urlsplit(url).netloc, wanted.get("path", urlsplit(url).path)
    label = "-".join(part for part in (wanted.get("tag"), wanted.get("service")) if part)
    return side.ingress, wanted.get("host") or f"{label}.{side.domain}", wanted["path"]


def _send(connection: HTTPConnection, wanted: Object, body: bytes | None) -> None:
    if wanted.get("chunked"):
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders([body[:10], body[10:]] if body else [], encode_chunked=True)
        return
    if body is not None:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders()
    if wanted.get("waits"):
        # The body is sent only after the request for it.
        assert connection.sock.recv(12, socket.MSG_PEEK | socket.MSG_WAITALL) == b"HTTP/1.1 100"
    connection.send(body or b"")
