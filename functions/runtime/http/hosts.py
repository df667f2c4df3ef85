"""The host names by which the server may be called, as a protection from DNS rebinding.

A web page can have its own name resolve to 127.0.0.1 and so read the responses of a server on this machine; the Host
header then has the page's name.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from common.errors import InvalidSetting
from functions.runtime.http.asgi import Application, Receive, Scope, Send, error_answer

_VARIABLE = "TIDEGATE_ALLOWED_HOSTS"
_HOST = re.compile(r"(?:\*\.)?[a-z0-9_.-]+|\[[0-9a-f:.]+\]")
# The names of this machine only (RFC 6761, section 6.3).
_LOOPBACK = ("localhost", "*.localhost", "127.0.0.1", "[::1]")


def allowed_hosts(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the hosts of TIDEGATE_ALLOWED_HOSTS in lower case; none stands for every host. Raises InvalidSetting."""
    found = tuple(filter(None, (item.strip().lower() for item in environ.get(_VARIABLE, "").split(","))))
    for host in found:
        if not _HOST.fullmatch(host):
            raise InvalidSetting(
                f"{_VARIABLE} has {host!r}, which is not a host",
                remedy="write it without a port, such as localhost or *.example.com",
            )
    return found


def names_of(address: str) -> str:
    """Return the value of TIDEGATE_ALLOWED_HOSTS for a server that listens on this address.

    It has the names of a loopback address, and is empty, for all hosts, otherwise.
    """
    name = f"[{address}]" if ":" in address else address.lower()
    if name in _LOOPBACK or name.startswith("127."):
        return ",".join(dict.fromkeys((*_LOOPBACK, name)))
    return ""


def with_hosts(app: Application, allowed: Collection[str], origins: Collection[str] = ()) -> Application:
    """Wrap an application so that only these hosts, and pages of these hosts or `origins`, may call it.

    Without hosts the application is returned unchanged.
    """
    return _Guard(app, allowed, origins) if allowed else app


class _Guard:
    def __init__(self, app: Application, allowed: Collection[str], origins: Collection[str]) -> None:
        self._app = app
        self._names = frozenset(host for host in allowed if not host.startswith("*."))
        self._endings = tuple(host[1:] for host in allowed if host.startswith("*."))
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (refused := self._refusal(dict(scope["headers"]))):
            await error_answer(refused, 403).send(send)
        else:
            await self._app(scope, receive, send)

    def _refusal(self, headers: Mapping[bytes, bytes]) -> str | None:
        """Return the error sentence for a host or an origin that is not allowed.

        The origin counts too: a page of another site can send requests, though it cannot read the responses.
        """
        host, origin = headers.get(b"host", b"").decode("latin-1"), headers.get(b"origin", b"").decode("latin-1")
        if not self._allows("//" + host):
            return f"the host {host[:100]!r} is not allowed; add it to {_VARIABLE} if this server has that name."
        if b"origin" in headers and not self._allows_origin(origin):
            return f"the origin {origin[:100]!r} is not allowed; add it to TIDEGATE_CORS_ORIGINS if its pages may call this server."
        return None

    def _allows_origin(self, origin: str) -> bool:
        return "*" in self._origins or origin in self._origins or self._allows(origin)

    def _allows(self, url: str) -> bool:
        try:
            name = urlsplit(url).hostname or ""
        except ValueError:
            return False
        return (f"[{name}]" if ":" in name else name) in self._names or name.endswith(self._endings)
