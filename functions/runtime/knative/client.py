"""A small client of the Knative Serving API: list and watch.

Not the `kubernetes` package: importing it costs 0.4 to 0.8 s, which a function that starts from zero would add to its first
answer. This one knows only what the functions here ask for.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from common.delivery import backoff
from common.errors import TidegateError
from common.redaction import redact, redact_url

log = logging.getLogger("tidegate.knative")

Object = dict[str, Any]
View = Mapping[str, Object]

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
SERVICES = "services"
_GROUP = "/apis/serving.knative.dev/v1"
# Without a change the server ends a watch after this long; a connection that is silent for longer is dead.
_WATCH_SECONDS = 240
_LONGEST_DELAY_SECONDS = 30.0


class ApiError(TidegateError):
    """The Kubernetes API cannot be reached, or refuses."""


class Gone(ApiError):
    """The resource version is too old to watch from: list again."""


@dataclass(frozen=True, slots=True)
class Access:
    """Where the API is, which namespace is ours, and the folder of the service account (`token`, `ca.crt`), if any.

    Without a service account, `token_file` may name a file with a token.
    """

    url: str
    namespace: str
    account: Path | None = None
    token_file: Path | None = None

    @property
    def token(self) -> Path | None:
        """The file with the token that each call shows."""
        return self.account / "token" if self.account else self.token_file

    @classmethod
    def from_env(cls, environ: Mapping[str, str], account: Path = SERVICE_ACCOUNT) -> Access:
        """`TIDEGATE_KUBERNETES_API` (a plain URL) with the token in `TIDEGATE_KUBERNETES_TOKEN_FILE`, if set, else the cluster around us.

        Raises ApiError.
        """
        namespace = environ.get("TIDEGATE_NAMESPACE")
        url = environ.get("TIDEGATE_KUBERNETES_API")
        if url:
            token_file = environ.get("TIDEGATE_KUBERNETES_TOKEN_FILE")
            return cls(url.rstrip("/"), namespace or "default", token_file=Path(token_file) if token_file else None)
        host = environ.get("KUBERNETES_SERVICE_HOST")
        if not host:
            raise ApiError("no Kubernetes API is known here: run this by `tidegate up` or in a cluster, or set TIDEGATE_KUBERNETES_API.")
        address = f"[{host}]" if ":" in host else host
        return cls(f"https://{address}:{environ.get('KUBERNETES_SERVICE_PORT', '443')}", namespace or _namespace(account), account)


@dataclass(frozen=True, slots=True)
class Listing:
    """Objects by name, and the version to watch them from."""

    objects: dict[str, Object]
    version: str


@dataclass(frozen=True, slots=True)
class Change:
    """One event of a watch. A bookmark has no `name`: it only moves the version."""

    kind: str
    name: str | None
    version: str
    object: Object


class Client:
    """Calls on one namespace. `first_delay` (seconds) is what a watch waits after its first failure; it doubles with each.

    `heard` is called whenever the API has said something to a watch, if only that nothing has changed.
    """

    def __init__(
        self, access: Access, session: aiohttp.ClientSession, *, first_delay: float = 0.2, heard: Callable[[], None] = lambda: None
    ) -> None:
        self._access = access
        self._session = session
        self._first_delay = first_delay
        self._heard = heard
        self._tls: ssl.SSLContext | bool = ssl.create_default_context(cafile=access.account / "ca.crt") if access.account else True

    async def list(self, resource: str, selector: str = "") -> Listing:
        """The objects whose labels match. Raises ApiError."""
        content = await self._get(resource, {"labelSelector": selector})
        with self._understood():
            answer = orjson.loads(content)
            return Listing({item["metadata"]["name"]: item for item in answer["items"]}, answer["metadata"]["resourceVersion"])

    async def watch(self, resource: str, selector: str = "") -> AsyncGenerator[View]:
        """All matching objects by name, now and after each change, for ever: failures are logged and survived."""
        objects: dict[str, Object] = {}
        version = ""
        failures = 0
        while True:
            try:
                if not version:
                    listing = await self.list(resource, selector)
                    self._heard()
                    objects, version = listing.objects, listing.version
                    yield dict(objects)
                async for change in self._changes(resource, selector, version):
                    self._heard()
                    version = change.version
                    failures = 0
                    if _apply(change, objects):
                        yield dict(objects)
                failures = 0
            except Gone:
                version = ""
            except ApiError as error:
                # Perhaps another server answers next: what it has is asked for anew.
                version = ""
                failures += 1
                log.warning("%s; trying again", str(error).rstrip("."))
            await asyncio.sleep(backoff(failures + 1, first=self._first_delay, longest=_LONGEST_DELAY_SECONDS))

    async def _changes(self, resource: str, selector: str, version: str) -> AsyncIterator[Change]:
        params = {"watch": "true", "allowWatchBookmarks": "true", "labelSelector": selector}
        params |= {"resourceVersion": version, "timeoutSeconds": str(_WATCH_SECONDS)}
        timeout = aiohttp.ClientTimeout(total=None, connect=10, sock_read=_WATCH_SECONDS + 30)
        try:
            async with self._session.get(
                self._url(resource), params=params, headers=self._headers(), ssl=self._tls, timeout=timeout
            ) as answer:
                if answer.status != 200:
                    raise _error(answer.status, await answer.read())
                self._heard()
                async for line in _lines(answer.content):
                    with self._understood():
                        change = _change(orjson.loads(line))
                    yield change
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._unreachable(error) from None

    async def _get(self, resource: str, params: Mapping[str, str]) -> bytes:
        timeout = aiohttp.ClientTimeout(total=30)
        try:
            async with self._session.get(
                self._url(resource), params=params, headers=self._headers(), ssl=self._tls, timeout=timeout
            ) as answer:
                content = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._unreachable(error) from None
        if answer.status != 200:
            raise _error(answer.status, content)
        return content

    def _url(self, resource: str) -> str:
        return f"{self._access.url}{_GROUP}/namespaces/{self._access.namespace}/{resource}"

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "application/json"}
        if self._access.token:
            # Read each time, since the kubelet replaces it before it expires.
            headers["Authorization"] = f"Bearer {_token(self._access.token)}"
        return headers

    @contextmanager
    def _understood(self) -> Iterator[None]:
        """Whoever is between here and the API may answer anything; it must not end a watch."""
        try:
            yield
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise ApiError(
                f"the Kubernetes API at {redact_url(self._access.url)} answered what is none of its objects ({reason})."
            ) from None

    def _unreachable(self, error: Exception) -> ApiError:
        return ApiError(
            f"the Kubernetes API at {redact_url(self._access.url)} does not answer: {redact(str(error)) or type(error).__name__}."
        )


def _namespace(account: Path) -> str:
    try:
        return (account / "namespace").read_text("ascii").strip()
    except OSError:
        return "default"


def _token(path: Path) -> str:
    try:
        return path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ApiError(
            f"cannot read the token of the Kubernetes API, {path}: {error}; TIDEGATE_KUBERNETES_TOKEN_FILE or the service account names it."
        ) from None


def _change(event: Object) -> Change:
    """What a line of a watch says. Raises ApiError, Gone."""
    kind, item = event["type"], event["object"]
    if kind == "ERROR":
        raise _error(item.get("code", 500), orjson.dumps(item))
    return Change(kind, item["metadata"].get("name"), item["metadata"]["resourceVersion"], item)


def _apply(change: Change, objects: dict[str, Object]) -> bool:
    """Bring the view up to date; whether it changed."""
    if change.name is None:
        return False
    if change.kind in ("ADDED", "MODIFIED"):
        objects[change.name] = change.object
        return True
    return change.kind == "DELETED" and objects.pop(change.name, None) is not None


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Lines of any length; the reader's own `readline` refuses those above its buffer."""
    rest = b""
    async for chunk in content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line


def _error(status: int, body: bytes) -> ApiError:
    try:
        message = str(orjson.loads(body)["message"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        message = body[:200].decode(errors="replace") or "no reason was given"
    kind = Gone if status == 410 else ApiError
    return kind(f"the Kubernetes API answered {status}: {message.rstrip('.')}.")
