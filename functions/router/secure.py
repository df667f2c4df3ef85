"""Calls of revisions by HTTPS, for clusters whose Services have such addresses: by aiohttp, which knows TLS."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from common.http_client import session
from functions.router.headers import RawHeaders
from functions.router.http1.connection import WHOLE_BYTES
from functions.router.http1.errors import CallFailed, ConnectionBroken, ConnectTimedOut, MalformedReply, NotConnected

_AUTOMATIC = frozenset({"Accept", "Accept-Encoding", "Content-Type", "User-Agent"})
_CONNECT_SECONDS = 10.0
# A body above this size is written in chunks, as the revision reads it.
_CHUNK_BYTES = 256 * 1024


class SecureClient:
    """Calls servers by HTTPS. `close` ends it."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def call(self, url: str, method: str, target: str, headers: RawHeaders, body: bytes, seconds: float) -> SecureResponse:
        """Send a request. Raises as `Pool.call` does."""
        if self._session is None:
            self._session = session(timeout_seconds=None, raw=True)
        sent = CIMultiDict((name.decode("latin-1"), value.decode(errors="surrogateescape")) for name, value in headers)
        data: bytes | AsyncIterator[bytes | memoryview] | None = body or None
        if len(body) > _CHUNK_BYTES:
            data = _chunks(body)
            sent["Content-Length"] = str(len(body))
        try:
            response = await self._session.request(
                method,
                URL(url + target, encoded=True),
                headers=sent,
                data=data,
                allow_redirects=False,
                skip_auto_headers=_AUTOMATIC,
                timeout=aiohttp.ClientTimeout(total=seconds, connect=_CONNECT_SECONDS),
            )
            return await _begun(response, method)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _translated(error) from None

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()


class SecureResponse:
    """A reply, whose body has begun or `is_whole`."""

    def __init__(self, response: aiohttp.ClientResponse, begun: bytes, *, is_whole: bool) -> None:
        self.status = response.status
        self.headers = list(response.raw_headers)
        self.length = response.content_length
        self.is_whole = is_whole
        self._response = response
        self._begun = begun

    async def next(self) -> bytes:
        """Return the next bytes of the body, none at its end. Raises CallFailed and TimeoutError."""
        if self._begun or self.is_whole:
            begun, self._begun = self._begun, b""
            return begun
        try:
            return await self._response.content.readany()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _translated(error) from None

    def close(self) -> None:
        """Close the connection unless the body is complete."""
        self._response.close()


async def _begun(response: aiohttp.ClientResponse, method: str) -> SecureResponse:
    try:
        if not 200 <= response.status < 600:
            raise MalformedReply(f"status {response.status}, which is not a final one")
        length = response.content_length
        if method == "HEAD" or (length is not None and length <= WHOLE_BYTES) or response.content.at_eof():
            return SecureResponse(response, await response.read(), is_whole=True)
        return SecureResponse(response, await response.content.readany(), is_whole=False)
    except BaseException:
        response.close()
        raise


def _translated(error: Exception) -> CallFailed | TimeoutError:
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return ConnectTimedOut(str(error))
    if isinstance(error, TimeoutError):
        return TimeoutError()
    if isinstance(error, aiohttp.ClientConnectorError) and not isinstance(error, aiohttp.ClientSSLError):
        return NotConnected(str(error))
    if isinstance(error, aiohttp.ClientResponseError):
        return MalformedReply(error.message)
    return ConnectionBroken(str(error))


async def _chunks(body: bytes) -> AsyncIterator[memoryview]:
    view = memoryview(body)
    for start in range(0, len(view), _CHUNK_BYTES):
        yield view[start : start + _CHUNK_BYTES]
