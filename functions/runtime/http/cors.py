"""Cross-origin resource sharing (the Fetch standard, section 3.2): the web pages that may call this server."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from common.errors import InvalidSetting
from functions.runtime.http.asgi import Application

_VARIABLE = "TIDEGATE_CORS_ORIGINS"
# As a browser sends it (RFC 6454, section 6.2): lower case, no path, no default port.
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(?:[a-z0-9_.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")


def origins(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the origins of TIDEGATE_CORS_ORIGINS; `*` stands for every origin. Raises InvalidSetting."""
    found = tuple(filter(None, (item.strip() for item in environ.get(_VARIABLE, "").split(","))))
    for origin in found:
        if origin != "*" and not _ORIGIN.fullmatch(origin):
            raise InvalidSetting(
                f"{_VARIABLE} has {origin!r}, which is not an origin",
                remedy="write it as the browser sends it, such as https://app.example.com (lower case, no path, no trailing slash)",
            )
    return found


def with_cors(app: Application, allowed: Collection[str]) -> Application:
    """Wrap an application so that it answers preflights and lets pages of these origins read its responses.

    Without origins the application is returned unchanged. Responses never allow credentials (cookies, TLS client
    certificates): callers send tokens in the `Authorization` header.
    """
    if not allowed:
        return app
    # Imported only where it is needed: it takes 100 ms of a start from zero.
    from starlette.middleware.cors import CORSMiddleware

    # Every response header, since the extension attributes of an event, which are headers in binary mode, have any
    # name.
    return CORSMiddleware(app, allow_origins=allowed, allow_methods=["*"], allow_headers=["*"], expose_headers=["*"])
