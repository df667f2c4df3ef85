"""A revision's answer: sent on as it comes, or read within limits to be joined with others."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import aiohttp

from functions.router.headers import RawHeaders
from functions.runtime.errors import BadAnswer, TooLarge, Unreachable
from functions.runtime.http.asgi import Receive, Send
from functions.runtime.knative.traffic import Arm

log = logging.getLogger("tidegate.router")

REVISION = b"tidegate-revision"
# Statuses whose answers have no body, and no length (RFC 9110, section 8.6).
_BODILESS = frozenset({204, 304})


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that is there as a whole."""

    status: int
    headers: RawHeaders
    body: bytes

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    def header(self, name: bytes) -> bytes | None:
        return next((value for known, value in self.headers if known == name), None)

    async def send(self, send: Send, revisions: Sequence[str], *, length: bytes | None = None) -> None:
        """With the names of the revisions that it is from.

        `length` is another than that of the body, in answer to a HEAD.
        """
        headers = [*self.headers, (REVISION, ", ".join(revisions).encode())]
        if self.status not in _BODILESS:
            headers.append((b"content-length", str(len(self.body)).encode() if length is None else length))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        # The empty message at the end waits until the caller has taken what was written before it.
        if self.body:
            await send({"type": "http.response.body", "body": self.body, "more_body": len(self.body) > _BUFFERED_BYTES})
        if len(self.body) > _BUFFERED_BYTES or not self.body:
            await send({"type": "http.response.body", "body": b""})


# Up to this size an answer is left to the server's buffers.
_BUFFERED_BYTES = 64 * 1024


class Reply:
    """The head of an answer, and its body, of which `begun` has come: all of it where `response` is None.

    It is read or sent, once.
    """

    def __init__(
        self,
        status: int,
        headers: RawHeaders,
        begun: bytes,
        arm: Arm,
        response: aiohttp.ClientResponse | None = None,
        declared: bytes | None = None,
        *,
        is_head: bool = False,
    ) -> None:
        self.status = status
        self.headers = headers
        self.arm = arm
        self._begun = begun
        self._response = response
        self._declared = declared
        self._is_head = is_head

    def close(self) -> None:
        """Give the connection up if there is more to come on it."""
        if self._response is not None:
            self._response.close()

    async def read(self, limit: int, hold: Callable[[int], None]) -> Answer:
        """The whole answer, of at most `limit` bytes, which `hold` takes from a budget.

        Raises BadAnswer, TooLarge, Overloaded, Unreachable.
        """
        if any(name == b"content-encoding" and value.lower() != b"identity" for name, value in self.headers):
            self.close()
            raise BadAnswer(f"revision {self.arm.revision} answered with a compressed body, which it was not asked for; see its log.")
        chunks, size = [], 0
        try:
            chunk = self._begun
            while chunk:
                size += len(chunk)
                if size > limit:
                    raise TooLarge(f"the answer of revision {self.arm.revision} has more than {limit} bytes; send fewer rows at once.")
                hold(len(chunk))
                chunks.append(chunk)
                chunk = b"" if self._response is None else await self._next(self._response)
        except BaseException:
            self.close()
            raise
        return Answer(self.status, self.headers, b"".join(chunks))

    async def send(self, send: Send, receive: Receive) -> None:
        """Pass the answer on.

        What breaks in the middle ends without its end, so that a part is not taken for the whole.
        """
        revision = self.arm.revision
        if self._response is None:
            answer = Answer(self.status, self.headers, self._begun)
            await answer.send(send, (revision,), length=self._declared if self._is_head else None)
            return
        headers = [*self.headers, (REVISION, revision.encode())]
        if self._declared is not None:
            headers.append((b"content-length", self._declared))
        gone = asyncio.ensure_future(_gone(receive))
        try:
            await send({"type": "http.response.start", "status": self.status, "headers": headers})
            chunk = self._begun
            while chunk and not gone.done():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
                chunk = await self._next(self._response)
            if not gone.done():
                await send({"type": "http.response.body", "body": b""})
        except Unreachable as error:
            log.warning("the answer of revision %s ended in the middle: %s", revision, error)
        finally:
            gone.cancel()
            self.close()

    async def _next(self, response: aiohttp.ClientResponse) -> bytes:
        """What comes next of the body, nothing at its end. Raises Unreachable."""
        try:
            return await response.content.readany()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            why = str(error) or type(error).__name__
            raise Unreachable(f"the answer of revision {self.arm.revision} broke off ({why}); try again.") from None


async def _gone(receive: Receive) -> None:
    """Return when the caller has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
