"""Who may be loaded: this machine, or what the caller says is theirs."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from urllib.parse import urlsplit

from common.errors import TidegateError


class InvalidTarget(TidegateError):
    """The target is no URL, is not there, or is somebody else's."""


def check(url: str, *, owned: bool = False) -> str:
    """The URL without a trailing slash. Raises InvalidTarget unless it is on this machine, or `owned`."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        port, parts = None, urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidTarget(f"{url!r} is not the URL of a gateway; name one such as http://127.0.0.1:8080.")
    if port == 0:
        raise InvalidTarget(f"{url!r} has no port that can be called; a running `tidegate up` says which one it has.")
    if not owned and not _is_loopback(parts.hostname):
        raise InvalidTarget(f"{parts.hostname} is not this machine; add --i-own-this-target if you may put load on it.")
    return url.rstrip("/")


def reach(url: str) -> None:
    """Connect once, so that a wrong address is told before any load. Raises InvalidTarget."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), timeout=10).close()
    except OSError as error:
        raise InvalidTarget(
            f"nothing answers at {url} ({error.strerror or error}); start it with `tidegate up`, or leave out --url."
        ) from None


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
