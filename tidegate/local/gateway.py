"""The gateway: one port for all services, which proxies each request to a replica of the revision for its host."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator, Mapping

import aiohttp
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from multidict import CIMultiDict
from yarl import URL

from common.http_headers import NO_HOST, end_to_end
from tidegate.local import index
from tidegate.local.controller.call import call, closes
from tidegate.local.controller.controller import Controller
from tidegate.local.controller.revision import Revision
from tidegate.local.errors import NoReplica, QueueFull
from tidegate.local.eventing.addressing import Handler
from tidegate.local.processes.replica import Replica

log = logging.getLogger("tidegate.gateway")

# Bodies up to this size are read whole: one write instead of a stream of chunks.
_SMALL = 1 << 20
_CHUNK = 1 << 16
_SKIPPED = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
_OWN_HOSTS = ("localhost", "127.0.0.1", "[", "::1")


def drop_malformed_request_logs(record: logging.LogRecord) -> bool:
    """A filter for aiohttp's log.

    A request that is not HTTP gets a 400; it is not an error of the gateway that needs a traceback.
    """
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


class Gateway:
    """The handler of all requests to the gateway's port. `ingresses` answer for hosts that are no service's."""

    def __init__(self, controller: Controller, client: aiohttp.ClientSession, ingresses: Mapping[str, Handler]) -> None:
        self._controller = controller
        self._client = client
        self._ingresses = ingresses

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Proxy a request to its service, or answer it by an ingress, with the gateway's own page or an error."""
        route = self._controller.table.find(request.host)
        if route is None:
            ingress = self._ingresses.get(request.host.partition(":")[0].lower())
            return await ingress(request) if ingress else self._own_page(request)
        if not request.raw_path.startswith("/"):
            return _no_route(f"no service has the path {request.raw_path[:200]}; a path begins with /.")
        revision = self._controller.revisions.get(route.choose())
        if revision is None:
            return _error(503, f"the revisions of {route.service} are changing; retry later.")
        started = time.perf_counter()
        response = await self._proxy(request, revision)
        revision.latencies.add((time.perf_counter() - started) * 1000)
        return response

    def _own_page(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.host.partition(":")[0] in _OWN_HOSTS:
            return index.page(self._controller, request)
        hosts = ", ".join(self._controller.table.names) or "none"
        return _no_route(f"no service has the host {request.host}; known hosts: {hosts}.")

    async def _proxy(self, request: web.BaseRequest, revision: Revision) -> web.StreamResponse:
        limit = revision.plan.timeout
        proxied = _ProxiedRequest(request, self._client)
        try:
            async with asyncio.timeout(limit or None):
                return await call(revision, proxied.send_to)
        except (QueueFull, NoReplica) as error:
            return _error(503, str(error))
        except TimeoutError:
            return proxied.fail(504, f"request timeout: {revision.plan.name} did not answer within {limit:g} s.")
        except (aiohttp.ClientError, ConnectionError) as error:
            cause = str(error) or type(error).__name__
            return proxied.fail(502, f"the connection to {revision.plan.name} failed during a request: {cause}.")


class _ProxiedRequest:
    """A request on its way to a replica, and its response."""

    def __init__(self, request: web.BaseRequest, client: aiohttp.ClientSession) -> None:
        self._request = request
        self._client = client
        self._response: web.StreamResponse | None = None
        self._body: bytes | AsyncIterator[bytes] | None = None

    async def send_to(self, replica: Replica) -> web.StreamResponse:
        request = self._request
        url = URL(f"{replica.address}{request.raw_path}", encoded=True)
        call = self._client.request(
            request.method, url, headers=_forwarded(request), data=await self._payload(), allow_redirects=False, skip_auto_headers=_SKIPPED
        )
        async with call as answer:
            replica.record_answer(closes=closes(answer))
            return await self._return(answer)

    def fail(self, status: int, message: str) -> web.StreamResponse:
        """Answer with an error.

        If the response has begun, abort the connection instead, so that a part is not taken for the whole.
        """
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
    """The headers of the request with those that Envoy and Knative's activator add.

    As there, headers of the caller are kept.
    """
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
    """The 404 of an ingress for a request to no service.

    By its header the router distinguishes it from the 404 of a service.
    """
    answer = _error(404, message)
    answer.headers[NO_HOST] = "true"
    return answer


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"error": message}, status=status)
