"""A small client of the Knative Serving API: get, list, watch, patch.

Not the `kubernetes` package: importing it costs 0.4 to 0.8 s, which a function that starts from zero would add to its first
answer. This one knows only what the functions here ask for.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from eventing.errors import TidegateError

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


class NotFound(ApiError):
    """There is no such object."""


class Conflict(ApiError):
    """The object has changed since it was read: read it again and decide anew."""


class Gone(ApiError):
    """The resource version is too old to watch from: list again."""


_ERRORS: dict[int, type[ApiError]] = {404: NotFound, 409: Conflict, 410: Gone}


@dataclass(frozen=True, slots=True)
class Access:
    """Where the API is, which namespace is ours, and the folder of the service account (`token`, `ca.crt`), if any."""

    url: str
    namespace: str
    account: Path | None = None

    @classmethod
    def from_env(cls, environ: Mapping[str, str], account: Path = SERVICE_ACCOUNT) -> Access:
        """`TIDEGATE_KUBERNETES_API` (a plain URL, no credentials) if set, else the cluster that this runs in. Raises ApiError."""
        namespace = environ.get("TIDEGATE_NAMESPACE")
        url = environ.get("TIDEGATE_KUBERNETES_API")
        if url:
            return cls(url.rstrip("/"), namespace or "default")
        host = environ.get("KUBERNETES_SERVICE_HOST")
        if not host:
            raise ApiError("no Kubernetes API is known here: run this by `tidegate up` or in a cluster, or set TIDEGATE_KUBERNETES_API.")
        address = f"[{host}]" if ":" in host else host
        return cls(f"https://{address}:{environ.get('KUBERNETES_SERVICE_PORT', '443')}", namespace or _namespace(account), account)


@dataclass(frozen=True, slots=True)
class Listing:
    items: list[Object]
    version: str


class Client:
    """Calls on one namespace. `first_delay` (seconds) is what a watch waits after its first failure; it doubles with each."""

    def __init__(self, access: Access, session: aiohttp.ClientSession, *, first_delay: float = 0.2) -> None:
        self._access = access
        self._session = session
        self._first_delay = first_delay
        self._tls: ssl.SSLContext | bool = ssl.create_default_context(cafile=access.account / "ca.crt") if access.account else True

    async def get(self, resource: str, name: str) -> Object:
        """One object. Raises NotFound, ApiError."""
        return await self._call("GET", f"{resource}/{name}")

    async def list(self, resource: str, selector: str = "") -> Listing:
        """The objects whose labels match, and the version to watch them from. Raises ApiError."""
        answer = await self._call("GET", resource, params={"labelSelector": selector})
        return Listing(answer["items"], answer["metadata"]["resourceVersion"])

    async def patch(self, resource: str, name: str, changes: Object, *, version: str) -> Object:
        """Merge `changes` into the object if it is still at `version`. Raises Conflict if it is not, NotFound, ApiError."""
        metadata = {**changes.get("metadata", {}), "resourceVersion": version}
        body = orjson.dumps({**changes, "metadata": metadata})
        return await self._call("PATCH", f"{resource}/{name}", body=body, content_type="application/merge-patch+json")

    async def watch(self, resource: str, selector: str = "") -> AsyncGenerator[View]:
        """All matching objects by name, now and after each change, for ever: failures are logged and survived."""
        objects: dict[str, Object] = {}
        version = ""
        failures = 0
        while True:
            try:
                if not version:
                    listing = await self.list(resource, selector)
                    objects, version = {item["metadata"]["name"]: item for item in listing.items}, listing.version
                    yield dict(objects)
                async for event in self._events(resource, selector, version):
                    version = event["object"]["metadata"]["resourceVersion"]
                    failures = 0
                    if _apply(event, objects):
                        yield dict(objects)
                failures = 0
            except Gone:
                version = ""
            except ApiError as error:
                # Perhaps another server answers next: what it has is asked for anew.
                version = ""
                failures += 1
                log.warning("%s; trying again", str(error).rstrip("."))
            await asyncio.sleep(_delay(self._first_delay, failures))

    async def _events(self, resource: str, selector: str, version: str) -> AsyncIterator[Object]:
        params = {"watch": "true", "allowWatchBookmarks": "true", "labelSelector": selector}
        params |= {"resourceVersion": version, "timeoutSeconds": str(_WATCH_SECONDS)}
        timeout = aiohttp.ClientTimeout(total=None, connect=10, sock_read=_WATCH_SECONDS + 30)
        try:
            async with self._session.get(
                self._url(resource), params=params, headers=self._headers(), ssl=self._tls, timeout=timeout
            ) as answer:
                if answer.status != 200:
                    raise _error(answer.status, await answer.read())
                async for line in _lines(answer.content):
                    event: Object = orjson.loads(line)
                    if event["type"] == "ERROR":
                        raise _error(event["object"].get("code", 500), orjson.dumps(event["object"]))
                    yield event
        except (aiohttp.ClientError, TimeoutError, orjson.JSONDecodeError) as error:
            raise self._unreachable(error) from None

    async def _call(
        self, method: str, path: str, *, params: Mapping[str, str] | None = None, body: bytes | None = None, content_type: str | None = None
    ) -> Object:
        headers = self._headers() | ({"Content-Type": content_type} if content_type else {})
        try:
            async with self._session.request(
                method, self._url(path), params=params, data=body, headers=headers, ssl=self._tls, timeout=aiohttp.ClientTimeout(total=30)
            ) as answer:
                content = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._unreachable(error) from None
        if answer.status >= 300:
            raise _error(answer.status, content)
        result: Object = orjson.loads(content)
        return result

    def _url(self, path: str) -> str:
        return f"{self._access.url}{_GROUP}/namespaces/{self._access.namespace}/{path}"

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        if self._access.account:
            # Read each time, since the kubelet replaces it before it expires.
            headers["Authorization"] = f"Bearer {(self._access.account / 'token').read_text('ascii').strip()}"
        return headers

    def _unreachable(self, error: Exception) -> ApiError:
        return ApiError(f"the Kubernetes API at {self._access.url} does not answer: {str(error) or type(error).__name__}.")


def _namespace(account: Path) -> str:
    try:
        return (account / "namespace").read_text("ascii").strip()
    except OSError:
        return "default"


def _apply(event: Object, objects: dict[str, Object]) -> bool:
    """Bring the view up to date; whether it changed (a bookmark only moves the version)."""
    name = event["object"]["metadata"].get("name")
    if event["type"] in ("ADDED", "MODIFIED"):
        objects[name] = event["object"]
        return True
    return event["type"] == "DELETED" and objects.pop(name, None) is not None


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
    return _ERRORS.get(status, ApiError)(f"the Kubernetes API answered {status}: {message.rstrip('.')}.")


def _delay(first: float, failures: int) -> float:
    """Seconds to wait: doubling, with jitter, so that replicas do not come back at the same moment."""
    return min(first * 2.0**failures, _LONGEST_DELAY_SECONDS) * random.uniform(0.5, 1.0)  # noqa: S311 not for secrets
