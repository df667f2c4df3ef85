"""Calls to a revision: headers and body go through untouched, but for what `headers.passed_on` leaves behind."""

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
from functions.router.headers import RawHeaders, passed_on
from functions.router.reply import Reply
from functions.runtime.errors import BadAnswer, RouteNotReady, TimedOut, Unreachable
from functions.runtime.knative.traffic import Arm

_BY_THE_PLATFORM = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT})
# Their words where the connection was never made, so that the request has reached nobody: those of Go's dialer, which
# queue-proxy and the activator repeat, of the activator itself, and of Envoy. Not among them: `EOF` and resets, after
# which a request may have been executed.
_NEVER_SENT = re.compile(
    r"\A(?:dial tcp\b|timed out dialing|no healthy upstream)|reset reason: (?:(?:remote|local) )?connection (?:failure|timeout)\b"
)
_AUTOMATIC = frozenset({"Accept", "Accept-Encoding", "Content-Type", "User-Agent"})
_CONNECT_SECONDS = 10.0
# An answer up to this size is read whole: one write instead of a stream of pieces.
_WHOLE_BYTES = 64 * 1024
# A body above this size is written piece by piece, as the revision takes it.
_PIECE_BYTES = 256 * 1024
_WORDS_BYTES = 4_096


class Upstream:
    """A context manager: it owns its connections."""

    async def __aenter__(self) -> Self:
        self._session = session(timeout_seconds=None, raw=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def call(self, arm: Arm, method: str, target: str, headers: RawHeaders, body: bytes, seconds: float) -> Reply:
        """The answer, whose head has come. `target` is path and query, encoded; `seconds` bounds all of it, the body of
        the answer included.

        Raises RouteNotReady when the request has reached nobody, Unreachable when there is no answer, TimedOut when it takes
        too long, and BadAnswer when the answer is not HTTP.
        """
        url = URL(arm.url + target, encoded=True)
        sent = CIMultiDict((name.decode("latin-1"), value.decode(errors="surrogateescape")) for name, value in headers)
        data: bytes | AsyncIterator[bytes | memoryview] | None = body or None
        if len(body) > _PIECE_BYTES:
            data = _pieces(body)
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
            raise explained(error, arm) from None


async def _reply(response: aiohttp.ClientResponse, arm: Arm, method: str) -> Reply:
    """The answer of a revision.

    Raises what it means when it is none: the platform's words, or a status that is none of HTTP's.
    """
    whole = True
    try:
        if not 200 <= response.status < 600:
            raise BadAnswer(
                f"revision {arm.revision} answered with status {response.status}, which is not a final status of HTTP; see its log."
            )
        length = response.content_length
        if method == "HEAD" or (length is not None and length <= _WHOLE_BYTES) or response.content.at_eof():
            content = await response.read()
        else:
            whole = False
            content = await response.content.readany()
        if response.status == HTTPStatus.NOT_FOUND and method != "HEAD" and (not content or NO_HOST in response.headers):
            # Said by the ingress, not by a model function: a tag's host takes a moment to be known there. Envoy's has
            # no body.
            raise RouteNotReady(f"there is no way to revision {arm.revision} at {arm.url} yet; try again.")
        if response.status in _BY_THE_PLATFORM and response.content_type == "text/plain":
            raise _platform_error(response.status, content[:_WORDS_BYTES], arm)
    except BaseException:
        response.close()
        raise
    declared = next((value for name, value in response.raw_headers if name.lower() == b"content-length"), None)
    return Reply(
        response.status, passed_on(response.raw_headers), content, arm, None if whole else response, declared, is_head=method == "HEAD"
    )


def _platform_error(status: int, words: bytes, arm: Arm) -> TidegateError:
    """Bare words of queue-proxy, the activator or the ingress; a model function answers in JSON."""
    said = words.decode(errors="replace").strip() or "nothing"
    never_sent = _NEVER_SENT.search(said) is not None
    said = said[:200]
    if never_sent:
        return RouteNotReady(f"revision {arm.revision} does not take connections ({said}); try again, and see its pods if this stays.")
    if status == HTTPStatus.GATEWAY_TIMEOUT:
        return TimedOut(f"revision {arm.revision} did not answer in time ({said}); send less at once, or raise its timeoutSeconds.")
    return Unreachable(f"revision {arm.revision} does not answer ({said}); try again, and see its pods if this stays.")


def explained(error: Exception, arm: Arm) -> TidegateError:
    """A failure of the connection to a revision, by what it means for the request."""
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return RouteNotReady(f"revision {arm.revision} at {arm.url} does not take connections; try again.")
    if isinstance(error, TimeoutError):
        return TimedOut(f"revision {arm.revision} did not answer in time; send less at once, or raise the router's time-out.")
    if isinstance(error, aiohttp.ClientConnectorError) and not isinstance(error, aiohttp.ClientSSLError):
        return RouteNotReady(f"revision {arm.revision} at {arm.url} cannot be reached ({error}); try again.")
    if isinstance(error, aiohttp.ClientResponseError):
        return BadAnswer(f"revision {arm.revision} did not answer in HTTP/1.1 ({error.message}); see its log.")
    return Unreachable(f"revision {arm.revision} at {arm.url} cannot be reached ({error}); try again.")


async def _pieces(body: bytes) -> AsyncIterator[memoryview]:
    view = memoryview(body)
    for start in range(0, len(view), _PIECE_BYTES):
        yield view[start : start + _PIECE_BYTES]
