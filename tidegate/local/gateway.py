"""One port for all services: finds the revision by host, gets a replica, and passes the request and the answer through."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from multidict import CIMultiDict
from yarl import URL

from common.http_client import NO_HOST, end_to_end
from tidegate.local import index
from tidegate.local.controller.controller import Fleet
from tidegate.local.controller.revision import Revision
from tidegate.local.errors import NoReplica, QueueFull
from tidegate.local.processes.replica import Replica

log = logging.getLogger("tidegate.gateway")

# Bodies up to this size are read whole: one write instead of a stream of pieces.
_SMALL = 1 << 20
_CHUNK = 1 << 16
_SKIPPED = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


def tell_no_malformed_requests(record: logging.LogRecord) -> bool:
    """A filter for aiohttp's log: what a caller sent that is not HTTP was answered by 400, and is no fault of ours to be traced."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


class Gateway:
    def __init__(self, fleet: Fleet, client: aiohttp.ClientSession) -> None:
        self._fleet = fleet
        self._client = client

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        route = self._fleet.table.find(request.host)
        if route is None:
            return self._own_page(request)
        if not request.raw_path.startswith("/"):
            return _no_route(f"no service has the path {request.raw_path[:200]}; a path begins with /.")
        revision = self._fleet.revisions.get(route.choose())
        if revision is None:
            return _error(503, f"{route.service} is being changed; send the request again.")
        started = time.perf_counter()
        response = await self._answer(request, revision)
        revision.latencies.add((time.perf_counter() - started) * 1000)
        return response

    def _own_page(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.host.partition(":")[0] in ("localhost", "127.0.0.1", "[", "::1"):
            return index.page(self._fleet, request)
        hosts = ", ".join(self._fleet.table.names) or "none"
        return _no_route(f"no service has the host {request.host}; known hosts: {hosts}.")

    async def _answer(self, request: web.BaseRequest, revision: Revision) -> web.StreamResponse:
        limit = revision.plan.timeout
        passing = _Passing(request, self._client)
        try:
            async with asyncio.timeout(limit or None):
                return await self._through(passing, revision)
        except (QueueFull, NoReplica) as error:
            return _error(503, str(error))
        except TimeoutError:
            return passing.broken(504, f"request timeout: {revision.plan.name} did not answer within {limit:g} s.")
        except (aiohttp.ClientError, ConnectionError) as error:
            what = str(error) or type(error).__name__
            return passing.broken(502, f"the connection to {revision.plan.name} broke in the middle of a request: {what}.")

    async def _through(self, passing: _Passing, revision: Revision) -> web.StreamResponse:
        """Nothing was written to a replica that refuses the connection, so another one may have the request."""
        while True:
            replica = await revision.acquire()
            try:
                return await passing.through(replica)
            except aiohttp.ClientConnectorError:
                revision.pool.lost(replica)
            finally:
                revision.release(replica)


class _Passing:
    """One request on its way."""

    def __init__(self, request: web.BaseRequest, client: aiohttp.ClientSession) -> None:
        self._request = request
        self._client = client
        self._response: web.StreamResponse | None = None
        self._body: bytes | AsyncIterator[bytes] | None = None

    async def through(self, replica: Replica) -> web.StreamResponse:
        request = self._request
        url = URL(f"{replica.address}{request.raw_path}", encoded=True)
        call = self._client.request(
            request.method, url, headers=_forwarded(request), data=await self._payload(), allow_redirects=False, skip_auto_headers=_SKIPPED
        )
        async with call as answer:
            replica.answered()
            return await self._return(answer)

    def broken(self, status: int, message: str) -> web.StreamResponse:
        """An error, or where the answer has begun already, its abrupt end: nobody may take a part for the whole."""
        log.warning("%s %s: %s", self._request.method, self._request.rel_url, message)
        if self._response is None or not self._response.prepared:
            return _error(status, message)
        if self._request.transport:
            self._request.transport.abort()
        return self._response

    async def _payload(self) -> bytes | AsyncIterator[bytes] | None:
        if self._body is None and self._request.headers.get("Expect", "").lower() == "100-continue":
            await self._request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._request.writer.output_size = 0
        if self._body is None and self._request.body_exists:
            small = (self._request.content_length or _SMALL + 1) <= _SMALL
            self._body = await self._request.content.read(-1) if small else self._request.content.iter_chunked(_CHUNK)
        return self._body

    async def _return(self, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        headers = CIMultiDict(end_to_end(answer.headers.items()))
        length = answer.content_length
        if length is not None and length <= _SMALL:
            body = await answer.read()
            return web.Response(status=answer.status, reason=answer.reason, headers=headers, body=body)
        self._response = response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=headers)
        await response.prepare(self._request)
        async for chunk in answer.content.iter_any():
            await response.write(chunk)
        await response.write_eof()
        return response


def _forwarded(request: web.BaseRequest) -> CIMultiDict[str]:
    """With what Envoy and Knative's activator add; what a caller has said of that stays, as there."""
    headers = CIMultiDict(end_to_end(request.headers.items()))
    peer = request.remote or "127.0.0.1"
    before = headers.get("X-Forwarded-For")
    headers["X-Forwarded-For"] = f"{before}, {peer}" if before else peer
    headers.setdefault("X-Forwarded-Proto", "http")
    headers.setdefault("X-Request-Id", str(uuid.uuid4()))
    headers.setdefault("Forwarded", f"for={headers['X-Forwarded-For'].partition(',')[0]};proto={headers['X-Forwarded-Proto']}")
    headers["K-Proxy-Request"] = "activator"
    return headers


def _no_route(message: str) -> web.Response:
    """What an ingress says of a request that is no service's; the router tells it from a 404 of the service by its header."""
    answer = _error(404, message)
    answer.headers[NO_HOST] = "true"
    return answer


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"error": message}, status=status)
