"""HTTP calls to a revision, and the meaning of their failures."""

from __future__ import annotations

import re
from http import HTTPStatus
from time import monotonic
from typing import Self

from common.errors import TidegateError
from common.http1.connection import Body
from common.http1.errors import CallFailed, ConnectTimedOut, MalformedReply, NotConnected
from common.http1.origin import InvalidHead, origin_of
from common.http1.pool import Pool
from common.http1.upload import Content
from common.http_headers import NO_HOST
from functions.router.headers import RawHeaders, forwarded, value_of
from functions.router.reply import Reply
from functions.runtime.errors import BadAnswer, InvalidInput, RouteNotReady, TimedOut, Unreachable
from functions.runtime.knative.traffic import Arm

_PLATFORM_STATUSES = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT})
# The messages of the platform where no connection was made, so that the request has reached no container: those of Go's
# dialer, which queue-proxy and the activator repeat, of the activator itself, and of Envoy. Not among them are `EOF`
# and resets, after which a request may have been executed.
_NEVER_SENT = re.compile(
    r"\A(?:dial tcp\b|timed out dialing|no healthy upstream)|reset reason: (?:(?:remote|local) )?connection (?:failure|timeout)\b"
)
_RETRY = "retry, and check its pods if this persists"
_NO_HOST = NO_HOST.encode()
_MESSAGE_BYTES = 4_096


class Upstream:
    """The connections to revisions; a context manager that closes them."""

    async def __aenter__(self) -> Self:
        self._pool = Pool()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._pool.close()

    async def call(
        self, arm: Arm, method: str, target: str, headers: RawHeaders, body: Content, seconds: float, *, repeatable: bool = False
    ) -> Reply:
        """Call a revision; the reply has its status and headers.

        `target` is path and query, encoded; `seconds` limits the whole call, the body of the reply included. A
        `repeatable` request may be executed twice. Raises RouteNotReady when the request has reached no container,
        Unreachable without a reply, TimedOut, and BadAnswer for a reply that is not HTTP.
        """
        until = monotonic() + seconds
        try:
            response = await self._pool.call(origin_of(arm.url), method, target, headers, body, until, repeatable=repeatable)
            return await _reply(response, arm, method)
        except (CallFailed, TimeoutError) as error:
            raise translated(error, arm) from None
        except InvalidHead:
            raise InvalidInput("the path or a header has a line break", remedy="send it without") from None


async def _reply(response: Body, arm: Arm, method: str) -> Reply:
    """The reply of a revision. Raises the domain error for a reply of the platform in its place."""
    status, is_head, rest = response.status, method == "HEAD", None if response.is_whole else response
    try:
        content = await response.next()
        if status == HTTPStatus.NOT_FOUND and not is_head and (not content or value_of(response.headers, _NO_HOST) is not None):
            # From the ingress, not from a model function: it takes a moment to learn the host of a tag. Envoy sends no
            # body.
            raise RouteNotReady(f"revision {arm.revision} at {arm.url} is not routable yet", remedy="retry")
        if status in _PLATFORM_STATUSES and _is_plain(response.headers):
            raise _platform_error(status, content[:_MESSAGE_BYTES], arm)
    except BaseException:
        response.close()
        raise
    return Reply(status, forwarded(response.headers), content, arm, rest, response.length, is_head=is_head)


def _is_plain(headers: RawHeaders) -> bool:
    return (value_of(headers, b"content-type") or b"").partition(b";")[0].strip().lower() == b"text/plain"


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


def translated(error: CallFailed | TimeoutError, arm: Arm) -> TidegateError:
    """The domain error of a failed call of a revision."""
    if isinstance(error, ConnectTimedOut):
        return RouteNotReady(f"the connection to revision {arm.revision} at {arm.url} timed out", remedy="retry")
    if isinstance(error, TimeoutError):
        return TimedOut(f"revision {arm.revision} timed out", remedy="send less at once, or raise TIDEGATE_REQUEST_SECONDS of the router")
    if isinstance(error, NotConnected):
        return RouteNotReady(f"revision {arm.revision} at {arm.url} refuses connections ({error})", remedy="retry")
    if isinstance(error, MalformedReply):
        return BadAnswer(f"revision {arm.revision} did not reply in HTTP/1.1 ({error})", remedy="see its log")
    return Unreachable(f"revision {arm.revision} at {arm.url} is unreachable ({error})", remedy="retry")
