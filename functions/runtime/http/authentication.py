"""ASGI middleware that checks credentials, for functions that are configured to require them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from common.errors import TidegateError
from functions.runtime.authentication.api_keys import HEADER, ApiKeys
from functions.runtime.authentication.settings import keys_from_env, tokens_from_env
from functions.runtime.errors import Unauthenticated, sentence_of, status_of
from functions.runtime.http.asgi import Application, Receive, Scope, Send, error_answer

if TYPE_CHECKING:
    from functions.runtime.authentication.tokens import Tokens

# The kubelet and Prometheus have no credentials.
PUBLIC_PATHS = frozenset({"/", "/v2/health/live", "/v2/health/ready", "/metrics"})
_KEY = HEADER.encode()
_BEARER = b"bearer "


class Authentication:
    """ASGI middleware that requires a known API key or a valid bearer token (RFC 9110, section 11; RFC 6750).

    Health probes and `/metrics` need no credential.
    """

    def __init__(self, app: Application, keys: ApiKeys | None, tokens: Tokens | None) -> None:
        self._app = app
        self._keys = keys
        self._tokens = tokens
        self._challenge = b"Bearer" if tokens is not None else b"ApiKey"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or is_open(scope["path"], scope["method"]):
            await self._app(scope, receive, send)
            return
        try:
            await self._check(dict(scope["headers"]))
        except TidegateError as error:
            status = status_of(error)
            headers = ((b"www-authenticate", self._challenge),) if status == status_of(Unauthenticated("")) else ()
            # The body stays unread, so the connection cannot be used again.
            await error_answer(sentence_of(error), status, (*headers, (b"connection", b"close"))).send(send)
            return
        await self._app(scope, receive, send)

    async def _check(self, headers: dict[bytes, bytes]) -> None:
        authorization = headers.get(b"authorization", b"")
        if self._tokens is not None and authorization[: len(_BEARER)].lower() == _BEARER:
            await self._tokens.claims(authorization[len(_BEARER) :].strip().decode("latin-1"))
        elif self._keys is not None:
            self._keys.caller(headers.get(_KEY, b"").decode("latin-1"))
        else:
            raise Unauthenticated("the request has no bearer token", remedy="send one in the header authorization")


def is_open(path: str, method: str) -> bool:
    """Return whether a request of this path and method (upper case) needs no credential."""
    return path in PUBLIC_PATHS and method in ("GET", "HEAD")


def authenticated(app: Application, environ: Mapping[str, str]) -> Application:
    """Wrap an application in the authentication that the environment configures. Raises InvalidSetting."""
    return Authentication(app, keys_from_env(environ), tokens_from_env(environ))
