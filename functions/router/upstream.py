"""Calls to a revision: headers and body go through untouched, but for what belongs to one connection only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Self

import aiohttp
from multidict import CIMultiDict
from starlette.responses import Response
from yarl import URL

from eventing.http import NO_HOST, end_to_end, session
from functions.router.arms import Arm
from functions.runtime.errors import NoWay, TimedOut, Unreachable

RawHeaders = list[tuple[bytes, bytes]]

REVISION = b"tidegate-revision"
# Written anew for each message.
_OWN = frozenset({b"host", b"content-length"})
# What Knative's ingress and activator tell the next queue-proxy: passed on, it would make the revision's autoscaler miscount.
_PLATFORM = frozenset(b"k-proxy-request k-network-hash k-network-probe knative-serving-namespace knative-serving-revision".split())
_BY_THE_PLATFORM = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT})
_AUTOMATIC = frozenset({"Accept", "Accept-Encoding", "Content-Type", "User-Agent"})


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: RawHeaders
    body: bytes

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    def header(self, name: bytes) -> bytes | None:
        return next((value for known, value in self.headers if known == name), None)

    def response(self, *revisions: str) -> Response:
        """As it came, and with the names of the revisions that it is from."""
        response = Response(self.body, self.status)
        response.raw_headers += [*self.headers, (REVISION, ", ".join(revisions).encode())]
        return response


class Upstream:
    """A context manager: it owns its connections. `request_seconds` bounds one call."""

    def __init__(self, request_seconds: float) -> None:
        self._request_seconds = request_seconds

    async def __aenter__(self) -> Self:
        self._session = session(timeout_seconds=self._request_seconds, raw=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def call(self, arm: Arm, method: str, target: str, headers: RawHeaders, body: bytes) -> Answer:
        """`target` is path and query, encoded. Raises Unreachable when there is no answer, NoWay when there
        is no way to the revision yet, or any more, and TimedOut when it takes too long.
        """
        url = URL(arm.url + target, encoded=True)
        sent = CIMultiDict((name.decode("latin-1"), value.decode(errors="surrogateescape")) for name, value in headers)
        try:
            async with self._session.request(
                method, url, headers=sent, data=body or None, allow_redirects=False, skip_auto_headers=_AUTOMATIC
            ) as answer:
                content = await answer.read()
        except aiohttp.ConnectionTimeoutError:
            raise Unreachable(f"revision {arm.revision} at {arm.url} does not take connections; try again.") from None
        except TimeoutError:
            raise TimedOut(f"revision {arm.revision} did not answer in time; send less at once, or raise the router's time-out.") from None
        except aiohttp.ClientError as error:
            raise Unreachable(f"revision {arm.revision} at {arm.url} cannot be reached ({error}); try again.") from None
        if answer.status == 404 and (not content or NO_HOST in answer.headers):
            # Said by the ingress, not by a model function: a tag's host takes a moment to be known there. Envoy's has no body.
            raise NoWay(f"there is no way to revision {arm.revision} at {arm.url} yet; try again.")
        if answer.status in _BY_THE_PLATFORM and answer.content_type == "text/plain":
            # Bare words of queue-proxy or the activator; a model function answers in JSON.
            said = content[:200].decode(errors="replace").strip() or "nothing"
            if answer.status == HTTPStatus.GATEWAY_TIMEOUT:
                raise TimedOut(f"revision {arm.revision} did not answer in time ({said}); send less at once, or raise its timeoutSeconds.")
            raise Unreachable(f"revision {arm.revision} does not answer ({said}); try again, and see its pods if this stays.")
        return Answer(answer.status, passed_on(answer.raw_headers), content)


def passed_on(headers: Iterable[tuple[bytes, bytes]]) -> RawHeaders:
    """The headers that go to the other side, names in lower case."""
    lower = ((name.lower(), value) for name, value in end_to_end(headers))
    return [(name, value) for name, value in lower if name not in _OWN and name not in _PLATFORM]
