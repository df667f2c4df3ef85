"""A request over a socket, and the answer: no client library would send these."""

from __future__ import annotations

import contextlib
import re
import socket
from dataclasses import dataclass

_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) [^\r\n]*\r\n")


@dataclass(frozen=True, slots=True)
class Request:
    """`rows` are those that a good answer has; None where nobody can say."""

    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    rows: int | None = None

    def to_bytes(self) -> bytes:
        lines = [f"POST {self.path} HTTP/1.1", "host: fuzz", f"content-length: {len(self.body)}", "connection: close"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes


def exchange(port: int, request: Request) -> Reply | None:
    """None when the connection was closed without an answer."""
    return _parsed(_send(port, request.to_bytes(), half_close=False))


def get(port: int, path: str) -> Reply | None:
    return _parsed(_send(port, f"GET {path} HTTP/1.1\r\nhost: fuzz\r\nconnection: close\r\n\r\n".encode(), half_close=False))


def statuses(port: int, sent: bytes) -> list[int]:
    """Of all answers to what may be no request, or several."""
    return [int(found) for found in _STATUS.findall(_send(port, sent, half_close=True))]


def _parsed(received: bytes) -> Reply | None:
    head, end, body = received.partition(b"\r\n\r\n")
    if not end:
        return None
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return Reply(int(status.split()[1]), headers, body)


def _send(port: int, sent: bytes, *, half_close: bool) -> bytes:
    """All that comes back until the server closes the connection. Raises TimeoutError."""
    received = bytearray()
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        with contextlib.suppress(OSError):  # it may have answered and closed before it had all
            connection.sendall(sent)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            while data := connection.recv(2**18):
                received += data
    return bytes(received)
