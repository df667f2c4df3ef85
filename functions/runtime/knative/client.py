"""A small client of the Knative Serving API: list and watch.

It replaces the `kubernetes` package, whose import takes 0.4 to 0.8 s, which a function that starts from zero would add
to its first response.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, Self
from urllib.parse import urlencode

import orjson

from common import environ as settings
from common.delivery import backoff
from common.errors import TidegateError
from common.http1.connection import Body
from common.http1.errors import CallFailed
from common.http1.origin import address_of
from common.http1.pool import Pool
from common.redaction import redact, redact_url
from functions.runtime.knative.objects import SERVING

log = logging.getLogger("tidegate.knative")

Object = dict[str, Any]
View = Mapping[str, Object]

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_ROOT = f"/apis/{SERVING}"
# The server ends a watch without changes after this long; a connection that is silent for longer is dead.
_WATCH_SECONDS = 240
_SILENT_SECONDS = _WATCH_SECONDS + 30
_CALL_SECONDS = 30.0
_LONGEST_DELAY_SECONDS = 30.0


class ApiError(TidegateError):
    """The Kubernetes API cannot be reached, or responds with an error."""


class Gone(ApiError):
    """The resource version is too old to watch from: list again."""


@dataclass(frozen=True, slots=True)
class Access:
    """The URL of the API, the namespace to use, and the folder of the service account (`token`, `ca.crt`), if any.

    Without a service account, `token_file` may name a file with a token.
    """

    url: str
    namespace: str
    account: Path | None = None
    token_file: Path | None = None

    @property
    def token(self) -> Path | None:
        """The file with the bearer token of each call."""
        return self.account / "token" if self.account else self.token_file

    @classmethod
    def from_env(cls, environ: Mapping[str, str], account: Path = SERVICE_ACCOUNT) -> Access:
        """The API of the environment, or of the cluster that this process runs in.

        TIDEGATE_KUBERNETES_API (a plain URL) and the token in TIDEGATE_KUBERNETES_TOKEN_FILE take precedence. Raises
        ApiError when there is neither, and InvalidSetting.
        """
        namespace = environ.get("TIDEGATE_NAMESPACE")
        url = settings.url(environ, "TIDEGATE_KUBERNETES_API")
        if url:
            token_file = environ.get("TIDEGATE_KUBERNETES_TOKEN_FILE")
            return cls(url.rstrip("/"), namespace or "default", token_file=Path(token_file) if token_file else None)
        host = environ.get("KUBERNETES_SERVICE_HOST")
        if not host:
            raise ApiError(
                "no Kubernetes API is configured", remedy="run this by `tidegate up` or in a cluster, or set TIDEGATE_KUBERNETES_API"
            )
        address = f"[{host}]" if ":" in host else host
        return cls(f"https://{address}:{environ.get('KUBERNETES_SERVICE_PORT', '443')}", namespace or _namespace(account), account)


@dataclass(frozen=True, slots=True)
class Listing:
    """Objects by name, and the resource version to watch them from."""

    objects: dict[str, Object]
    version: str


@dataclass(frozen=True, slots=True)
class Change:
    """One event of a watch. A bookmark has no `name`: it only advances the resource version."""

    kind: str
    name: str | None
    version: str
    object: Object


class Client:
    """Calls on one namespace; a context manager that closes the connections.

    `first_delay` is the back-off of a watch after its first failure, in seconds; it doubles with each further one.
    `on_response` is called for every response to a watch, bookmarks included.
    """

    def __init__(self, access: Access, *, first_delay: float = 0.2, on_response: Callable[[], None] = lambda: None) -> None:
        self._access = access
        self._first_delay = first_delay
        self._on_response = on_response
        authority = access.account / "ca.crt" if access.account else None
        self._pool = Pool(partial(_trusting, authority))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._pool.close()

    async def list(self, resource: str, selector: str = "") -> Listing:
        """The objects whose labels match. Raises ApiError."""
        with self._reached():
            reply = await self._get(resource, {"labelSelector": selector}, _CALL_SECONDS)
            content = await reply.read()
        if reply.status != 200:
            raise _error(reply.status, content)
        with self._checked():
            answer = orjson.loads(content)
            return Listing({item["metadata"]["name"]: item for item in answer["items"]}, answer["metadata"]["resourceVersion"])

    async def watch(self, resource: str, selector: str = "") -> AsyncGenerator[View]:
        """All matching objects by name, now and after each change. It does not end: failures are logged and retried."""
        objects: dict[str, Object] = {}
        version = ""
        failures = 0
        while True:
            try:
                if not version:
                    listing = await self.list(resource, selector)
                    self._on_response()
                    objects, version = listing.objects, listing.version
                    yield dict(objects)
                async with aclosing(self._changes(resource, selector, version)) as changes:
                    async for change in changes:
                        self._on_response()
                        version = change.version
                        failures = 0
                        if _apply(change, objects):
                            yield dict(objects)
                failures = 0
            except Gone:
                version = ""
            except ApiError as error:
                # The next response may come from another server, with other resource versions: list again.
                version = ""
                failures += 1
                log.warning("%s; retrying", str(error).rstrip("."))
            await asyncio.sleep(backoff(failures + 1, first=self._first_delay, longest=_LONGEST_DELAY_SECONDS))

    async def _changes(self, resource: str, selector: str, version: str) -> AsyncGenerator[Change]:
        query = {"watch": "true", "allowWatchBookmarks": "true", "labelSelector": selector}
        query |= {"resourceVersion": version, "timeoutSeconds": str(_WATCH_SECONDS)}
        with self._reached():
            reply = await self._get(resource, query, _SILENT_SECONDS)
            try:
                if reply.status != 200:
                    raise _error(reply.status, await reply.read())
                self._on_response()
                async for line in _lines(reply):
                    with self._checked():
                        change = _change(orjson.loads(line))
                    yield change
            finally:
                reply.close()

    async def _get(self, resource: str, query: Mapping[str, str], seconds: float) -> Body:
        """Send a request; `seconds` limits the whole call, the body of the reply included."""
        address = address_of(f"{self._access.url}{_ROOT}/namespaces/{self._access.namespace}/{resource}?{urlencode(query)}")
        headers = [(b"accept", b"application/json"), (b"user-agent", b"tidegate"), *(self._authorization() or address.credentials)]
        return await self._pool.call(address.origin, "GET", address.target, headers, b"", monotonic() + seconds)

    def _authorization(self) -> tuple[tuple[bytes, bytes], ...]:
        # Read for each call, since the kubelet replaces it before it expires.
        return ((b"authorization", b"Bearer " + _token(self._access.token)),) if self._access.token else ()

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Turn the failure of a call into ApiError."""
        try:
            yield
        except (CallFailed, TimeoutError) as error:
            reason = redact(str(error)) or type(error).__name__
            raise ApiError(f"the Kubernetes API at {redact_url(self._access.url)} is unreachable: {reason}.") from None

    @contextmanager
    def _checked(self) -> Iterator[None]:
        """Turn a malformed response into ApiError: a proxy may send anything, which must not end a watch."""
        try:
            yield
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise ApiError(f"unexpected response from the Kubernetes API at {redact_url(self._access.url)} ({reason}).") from None


def _namespace(account: Path) -> str:
    try:
        return (account / "namespace").read_text("ascii").strip()
    except OSError:
        return "default"


def _trusting(authority: Path | None) -> ssl.SSLContext:
    """The context of TLS with servers that this authority has certified; without one, the system's authorities."""
    try:
        return ssl.create_default_context(cafile=authority)
    except OSError as error:
        raise ApiError(
            f"cannot read the certificate of the Kubernetes API, {authority}: {error}", remedy="check the service account"
        ) from None


def _token(path: Path) -> bytes:
    remedy = "check TIDEGATE_KUBERNETES_TOKEN_FILE or the service account"
    try:
        token = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ApiError(f"cannot read the token of the Kubernetes API, {path}: {error}", remedy=remedy) from None
    if not token.isprintable():  # it would become another header
        raise ApiError(f"the token of the Kubernetes API, {path}, has several lines or control characters", remedy=remedy)
    return token.encode()


def _change(event: Object) -> Change:
    """The change of one line of a watch. Raises ApiError, and Gone for an error event."""
    kind, item = event["type"], event["object"]
    if kind == "ERROR":
        raise _error(item.get("code", 500), orjson.dumps(item))
    return Change(kind, item["metadata"].get("name"), item["metadata"]["resourceVersion"], item)


def _apply(change: Change, objects: dict[str, Object]) -> bool:
    """Apply a change to the view; returns whether the view is another now."""
    if change.name is None:
        return False
    if change.kind in ("ADDED", "MODIFIED"):
        objects[change.name] = change.object
        return True
    return change.kind == "DELETED" and objects.pop(change.name, None) is not None


async def _lines(reply: Body) -> AsyncIterator[bytes]:
    """Lines of any length."""
    rest = b""
    while chunk := await reply.next():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line


def _error(status: int, body: bytes) -> ApiError:
    try:
        message = str(orjson.loads(body)["message"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        message = body[:200].decode(errors="replace") or "no reason given"
    kind = Gone if status == 410 else ApiError
    return kind(f"the Kubernetes API responded {status}: {message.rstrip('.')}.")
