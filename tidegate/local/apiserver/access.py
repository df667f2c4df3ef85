"""Who may use the API of `tidegate up`: those who can read its token, and no web page.

A Service is a command that runs here, so anyone who may create one runs commands as the owner of the process. Loopback is shared by
all users of a machine; the token is in files that only the owner can read.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets

from aiohttp import web

from tidegate.local.apiserver.failure import Failure

# kubectl sends a token over TLS only (client-go, clientcmd.ClientConfig) but the user information of a URL always, by RFC 7617.
USER = "tidegate"
_OWN_HOSTS = ("127.0.0.1", "localhost")


def new_token() -> str:
    """256 random bits in characters that need no escaping in a URL."""
    return secrets.token_urlsafe(32)


def check(request: web.Request, token: str) -> None:
    """Raise Failure for a request that comes from a web page (403) or shows no valid token (401)."""
    _check_origin(request)
    if not _is_shown(request.headers.get("Authorization", ""), token):
        message = "Unauthorized: send the token that is in the kubeconfig of this `tidegate up`, as kubectl --kubeconfig does"
        raise Failure(401, "Unauthorized", message)


def _check_origin(request: web.Request) -> None:
    """A browser names the host it called, which is another one after DNS rebinding, and the page that called."""
    if request.host.partition(":")[0] not in _OWN_HOSTS:
        raise Failure(403, "Forbidden", f"the API answers at 127.0.0.1 and localhost, not at {request.host}")
    if "Origin" in request.headers:
        raise Failure(403, "Forbidden", f"the API is not for web pages, such as those of {request.headers['Origin']}")


def _is_shown(authorization: str, token: str) -> bool:
    scheme, _, credentials = authorization.partition(" ")
    given = _password(credentials) if scheme.lower() == "basic" else credentials if scheme.lower() == "bearer" else ""
    return hmac.compare_digest(given.encode(errors="replace"), token.encode())


def _password(credentials: str) -> str:
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return ""
