"""Access control of the API of `tidegate up`: callers need its token, and web pages are not allowed.

A Service is a command that runs on this machine, so a caller that may create one runs commands as the owner of the
process. All users of a machine share the loopback interface; the token is in files that only the owner can read.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets

from aiohttp import web

from tidegate.local.apiserver.status_error import StatusError

# kubectl sends a token over TLS only (client-go, clientcmd.ClientConfig), but always the user information of a URL, by
# RFC 7617.
USER = "tidegate"
_OWN_HOSTS = ("127.0.0.1", "localhost")


def new_token() -> str:
    """A random token of 256 bits, in characters that need no escaping in a URL."""
    return secrets.token_urlsafe(32)


def check(request: web.Request, token: str) -> None:
    """Raise StatusError for a request from a web page (403) or without a valid token (401)."""
    _check_origin(request)
    if not _has_token(request.headers.get("Authorization", ""), token):
        remedy = "send the token in the kubeconfig of this `tidegate up`, as kubectl --kubeconfig does"
        raise StatusError(401, "Unauthorized", "Unauthorized: the request has no valid token", remedy=remedy)


def _check_origin(request: web.Request) -> None:
    """Check the host and the page that a browser names in its headers. After DNS rebinding the host is another one."""
    if request.host.partition(":")[0] not in _OWN_HOSTS:
        remedy = "call the API at 127.0.0.1 or localhost"
        raise StatusError(403, "Forbidden", f"host {request.host} is not allowed", remedy=remedy)
    if "Origin" in request.headers:
        raise StatusError(403, "Forbidden", f"origin {request.headers['Origin']} is not allowed: the API is not for web pages.")


def _has_token(authorization: str, token: str) -> bool:
    scheme, _, credentials = authorization.partition(" ")
    given = _password(credentials) if scheme.lower() == "basic" else credentials if scheme.lower() == "bearer" else ""
    return hmac.compare_digest(given.encode(errors="replace"), token.encode())


def _password(credentials: str) -> str:
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return ""
