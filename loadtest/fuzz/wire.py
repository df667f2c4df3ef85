"""Requests over a socket, and their responses; no client library would send these."""

from __future__ import annotations

import contextlib
import re
import socket
from dataclasses import dataclass

# A server that sends nothing for so long hangs.
_PATIENCE_SECONDS = 30.0
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) [^\r\n]*\r\n")


@dataclass(frozen=True, slots=True)
class Request:
    """A request; `rows` is the number of rows of a correct response, None if unknown."""

    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    rows: int | None = None

    def to_bytes(self, host: str = "fuzz") -> bytes:
        lines = [f"POST {self.path} HTTP/1.1", f"host: {host}", f"content-length: {len(self.body)}", "connection: close"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Target:
    """A port of this machine, and the host header, which names the service behind a gateway."""

    port: int
    host: str = ""

    @property
    def behind_gateway(self) -> bool:
        return bool(self.host)

    def exchange(self, request: Request) -> Reply | None:
        """Send a request; return the response, or None when the connection was closed without one.

        Raises TimeoutError.
        """
        return _parsed(self._send(request.to_bytes(self.host or "fuzz"), half_close=False))

    def get(self, path: str) -> Reply | None:
        return _parsed(
            self._send(f"GET {path} HTTP/1.1\r\nhost: {self.host or 'fuzz'}\r\nconnection: close\r\n\r\n".encode(), half_close=False)
        )

    def statuses(self, sent: bytes) -> list[int]:
        """Send bytes that may be no request or several; return the statuses of all responses. Raises TimeoutError."""
        return [int(found) for found in _STATUS.findall(self._send(sent, half_close=True))]

    def _send(self, sent: bytes, *, half_close: bool) -> bytes:
        """Send bytes; return all received until the server closes the connection. Raises TimeoutError."""
        received = bytearray()
        with socket.create_connection(("127.0.0.1", self.port), timeout=_PATIENCE_SECONDS) as connection:
            try:
                connection.sendall(sent)
                if half_close:
                    connection.shutdown(socket.SHUT_WR)
            except TimeoutError:
                raise
            except OSError:
                pass  # the server answered and closed before it had read all
            with contextlib.suppress(ConnectionError):
                while data := connection.recv(2**18):
                    received += data
        return bytes(received)


def _parsed(received: bytes) -> Reply | None:
    head, end, body = received.partition(b"\r\n\r\n")
    if not end:
        return None
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return Reply(int(status.split()[1]), headers, body)
