"""Files of web servers: random access by ranges, or a local copy where the server has none."""

from __future__ import annotations

import hashlib
import http.client
import io
import re
import tempfile
from collections.abc import Iterator
from typing import Any

from functions.batch.errors import InvalidPath
from functions.batch.storage import connections
from functions.batch.storage.connections import translated, unreadable
from functions.batch.storage.locations import Location
from functions.batch.storage.names import write_failed
from functions.batch.storage.policy import Policy
from functions.batch.storage.stores import Found

# Bytes that are read ahead, so that small reads in order are one request.
_AHEAD_BYTES = 2**20
_TOTAL = re.compile(r"bytes (?:\d+-\d+|\*)/(\d+)")


class WebStore:
    """Web servers, for reading single files."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def stat(self, location: Location) -> Found | None:
        """Return the file at a URL. Raises InvalidPath when there is none."""
        with self.open(location) as file:
            size = file.seek(0, io.SEEK_END)
        return Found(location.name, location, size)

    def walk(self, location: Location) -> Iterator[Found]:
        """Raise InvalidPath: a web server has no list of files."""
        raise InvalidPath(f"{location} is not a file", remedy="name each file")

    def open(self, location: Location) -> Any:
        """Open a file. Raises InvalidPath."""
        answer = connections.get(location, self._policy, {"Range": "bytes=0-0"})
        if answer.response.status == http.client.OK:
            return _copied(answer)
        return io.BufferedReader(_Ranges(answer, self._policy), _AHEAD_BYTES)

    def version(self, file: Any) -> str:
        """Return the strong ETag of an open file, else what its server says of the last change."""
        return str(file.raw.version)


class _Ranges(io.RawIOBase):
    """A file as random access: one request for each read, over one connection while that lasts."""

    def __init__(self, answer: connections.Answer, policy: Policy) -> None:
        self._policy = policy
        self._location, self._connection, response = answer
        with translated(self._location):
            response.read()
        total = _TOTAL.fullmatch(response.getheader("Content-Range", ""))
        if total is None:
            raise unreadable(self._location, "its server answers ranges without a size")
        self._size = int(total[1])
        self._condition = _condition(response)
        self.version = _version(response, self._size)
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        return self._position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        length = min(len(view), self._size - self._position)
        if length <= 0:
            return 0
        view[:length] = self._range(self._position, length)
        self._position += length
        return length

    def close(self) -> None:
        self._connection.close()
        super().close()

    def _range(self, start: int, length: int) -> bytes:
        headers = {"Range": f"bytes={start}-{start + length - 1}", **self._condition}
        try:
            content = self._requested(headers, length)
        except InvalidPath:
            # A server may close a connection that waits. The name is resolved and checked again.
            self._connection.close()
            self._location, self._connection, response = connections.get(self._location, self._policy, headers)
            content = self._read(response, length)
        return content

    def _requested(self, headers: dict[str, str], length: int) -> bytes:
        return self._read(connections.request(self._connection, self._location, headers), length)

    def _read(self, response: http.client.HTTPResponse, length: int) -> bytes:
        with translated(self._location):
            content = response.read(length)
        if response.status != http.client.PARTIAL_CONTENT or len(content) != length:
            raise unreadable(self._location, f"{len(content)} of {length} bytes, status {response.status}")
        return content


class _Copy(io.FileIO):
    """A local copy of a file."""

    version = ""


def _copied(answer: connections.Answer) -> Any:
    """Return a copy in the temporary folder, without a name, so that nothing is left. Raises WriteFailed."""
    location, connection, response = answer
    length = response.getheader("Content-Length")
    received, digest = 0, hashlib.sha256()
    with tempfile.NamedTemporaryFile(prefix="tidegate-") as named:
        raw = _Copy(named.name, "r+b")
    file = io.BufferedRandom(raw, _AHEAD_BYTES)
    try:
        while chunk := _chunk(response, location):
            file.write(chunk)
            digest.update(chunk)
            received += len(chunk)
        if length is not None and received < int(length):
            raise unreadable(location, f"it ended after {received} of {length} bytes")
        raw.version = f"sha256:{digest.hexdigest()}"
        file.seek(0)
    except BaseException as error:
        # The copy would be flushed once more, to a disk that may be full.
        raw.close()
        if isinstance(error, OSError):
            raise write_failed(tempfile.gettempdir(), error) from None
        raise
    finally:
        connection.close()
    return file


def _chunk(response: http.client.HTTPResponse, location: Location) -> bytes:
    with translated(location):
        return response.read(_AHEAD_BYTES)


def _condition(response: http.client.HTTPResponse) -> dict[str, str]:
    """Return the header that makes a range fail when the file has changed; a weak ETag cannot be used in it."""
    tag = response.getheader("ETag", "")
    return {"If-Match": tag} if tag and not tag.startswith("W/") else {}


def _version(response: http.client.HTTPResponse, size: int) -> str:
    tag = response.getheader("ETag", "")
    if tag and not tag.startswith("W/"):
        return f"etag:{tag.strip(chr(34))}"
    return f"changed:{response.getheader('Last-Modified', '')}:{size}"
