"""HTTP calls to a revision, and the meaning of their failures."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Self

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from common.errors import TidegateError
from common.http_client import NO_HOST, session
from functions.router.headers import RawHeaders, forwarded
from functions.router.reply import Reply
from functions.runtime.errors import BadAnswer, RouteNotReady, TimedOut, Unreachable
from functions.runtime.knative.traffic import Arm

_PLATFORM_STATUSES = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT})
# The messages of the platform where no connection was made, so that the request has reached no container: those of Go's
# dialer, which queue-proxy and the activator repeat, of the activator itself, and of Envoy. Not among them are `EOF`
# and resets, after which a request may have been executed.
_NEVER_SENT = re.compile(
    r"\A(?:dial tcp\b|timed out dialing|no healthy upstream)|reset reason: (?:(?:remote|local) )?connection (?:failure|timeout)\b"
)
_AUTOMATIC = frozenset({"Accept", "Accept-Encoding", "Content-Type", "User-Agent"})
_RETRY = "retry, and check its pods if this persists"
_CONNECT_SECONDS = 10.0
# A reply up to this size is read whole: one write instead of a stream of chunks.
_WHOLE_BYTES = 64 * 1024
# A body above this size is written in chunks, as the revision reads it.
_CHUNK_BYTES = 256 * 1024
_MESSAGE_BYTES = 4_096


class Upstream:
    """The connections to revisions; a context manager that closes them."""

    async def __aenter__(self) -> Self:
        self._session = session(timeout_seconds=None, raw=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def call(self, arm: Arm, method: str, target: str, headers: RawHeaders, body: bytes, seconds: float) -> Reply:
        """Call a revision; the reply has its status and headers.

        `target` is path and query, encoded; `seconds` limits the whole call, the body of the reply included. Raises
        RouteNotReady when the request has reached no container, Unreachable without a reply, TimedOut, and BadAnswer
        for a reply that is not HTTP.
        """
        url = URL(arm.url + target, encoded=True)
        sent = CIMultiDict((name.decode("latin-1"), value.decode(errors="surrogateescape")) for name, value in headers)
        data: bytes | AsyncIterator[bytes | memoryview] | None = body or None
        if len(body) > _CHUNK_BYTES:
            data = _chunks(body)
            sent["Content-Length"] = str(len(body))
        try:
            response = await self._session.request(
                method,
                url,
                headers=sent,
                data=data,
                allow_redirects=False,
                skip_auto_headers=_AUTOMATIC,
                timeout=aiohttp.ClientTimeout(total=seconds, connect=_CONNECT_SECONDS),
            )
            return await _reply(response, arm, method)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise translated(error, arm) from None


async def _reply(response: aiohttp.ClientResponse, arm: Arm, method: str) -> Reply:
    """The reply of a revision.

    Raises the domain error for a reply of the platform in its place, and BadAnswer for an invalid status.
    """
    whole = True
    try:
        if not 200 <= response.status < 600:
            raise BadAnswer(
                f"revision {arm.revision} responded with status {response.status}, which is not a final status of HTTP",
                remedy="see its log",
            )
        length = response.content_length
        if method == "HEAD" or (length is not None and length <= _WHOLE_BYTES) or response.content.at_eof():
            content = await response.read()
        else:
            whole = False
            content = await response.content.readany()
        if response.status == HTTPStatus.NOT_FOUND and method != "HEAD" and (not content or NO_HOST in response.headers):
            # From the ingress, not from a model function: it takes a moment to learn the host of a tag. Envoy sends no
            # body.
            raise RouteNotReady(f"revision {arm.revision} at {arm.url} is not routable yet", remedy="retry")
        if response.status in _PLATFORM_STATUSES and response.content_type == "text/plain":
            raise _platform_error(response.status, content[:_MESSAGE_BYTES], arm)
    except BaseException:
        response.close()
        raise
    declared = next((value for name, value in response.raw_headers if name.lower() == b"content-length"), None)
    return Reply(
        response.status, forwarded(response.raw_headers), content, arm, None if whole else response, declared, is_head=method == "HEAD"
    )


def _platform_error(status: int, content: bytes, arm: Arm) -> TidegateError:
    """The error of a plain-text reply, which is one of queue-proxy, the activator or the ingress."""
    message = content.decode(errors="replace").strip() or "no message"
    never_sent = _NEVER_SENT.search(message) is not None
    message = message[:200]
    if never_sent:
        return RouteNotReady(f"revision {arm.revision} refuses connections ({message})", remedy=_RETRY)
    if status == HTTPStatus.GATEWAY_TIMEOUT:
        return TimedOut(f"revision {arm.revision} timed out ({message})", remedy="send less at once, or raise its timeoutSeconds")
    return Unreachable(f"revision {arm.revision} is unreachable ({message})", remedy=_RETRY)


def translated(error: Exception, arm: Arm) -> TidegateError:
    """The domain error of a failed connection to a revision."""
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return RouteNotReady(f"the connection to revision {arm.revision} at {arm.url} timed out", remedy="retry")
    if isinstance(error, TimeoutError):
        return TimedOut(f"revision {arm.revision} timed out", remedy="send less at once, or raise TIDEGATE_REQUEST_SECONDS of the router")
    if isinstance(error, aiohttp.ClientConnectorError) and not isinstance(error, aiohttp.ClientSSLError):
        return RouteNotReady(f"revision {arm.revision} at {arm.url} refuses connections ({error})", remedy="retry")
    if isinstance(error, aiohttp.ClientResponseError):
        return BadAnswer(f"revision {arm.revision} did not reply in HTTP/1.1 ({error.message})", remedy="see its log")
    return Unreachable(f"revision {arm.revision} at {arm.url} is unreachable ({error})", remedy="retry")


async def _chunks(body: bytes) -> AsyncIterator[memoryview]:
    view = memoryview(body)
    for start in range(0, len(view), _CHUNK_BYTES):
        yield view[start : start + _CHUNK_BYTES]
