"""Allowed targets of load: this machine, or one that the user owns."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from common.errors import TidegateError
from common.loopback import is_loopback


class InvalidTarget(TidegateError):
    """The target is not a URL, is unreachable, or may not be loaded."""


def check(url: str, *, owned: bool = False) -> str:
    """Return the URL without a trailing slash. Raises InvalidTarget unless it is on this machine, or `owned`."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        port, parts = None, urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidTarget(f"{url!r} is not the URL of a gateway", remedy="use a URL such as http://127.0.0.1:8080")
    if port == 0:
        raise InvalidTarget(f"{url!r} has the port 0", remedy="use the port that `tidegate up` prints")
    if not owned and not is_loopback(parts.hostname):
        raise InvalidTarget(f"{parts.hostname} is not this machine", remedy="add --i-own-this-target if you may put load on it")
    return url.rstrip("/")


def reach(url: str) -> None:
    """Connect once, so that a wrong address is reported before any load. Raises InvalidTarget."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), timeout=10).close()
    except OSError as error:
        raise InvalidTarget(
            f"nothing answers at {url} ({error.strerror or error})", remedy="start it with `tidegate up`, or leave out --url"
        ) from None
