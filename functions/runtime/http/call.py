"""An inference call over HTTP: its headers, and its body within limits, uncompressed."""

from __future__ import annotations

from dataclasses import dataclass

from functions.runtime.errors import InvalidInput, TooLarge, UnsupportedMedia
from functions.runtime.http.asgi import JSON, Receive, Scope, read_body
from functions.runtime.http.coding import coding_of, pieces
from functions.runtime.http.deadline import timeout_of
from functions.runtime.inference.call import Call
from functions.runtime.inference.limits import OFF_LOOP_BYTES

_JSON_LENGTH = b"inference-header-content-length"
# Content types that are read as JSON: a missing one, and the defaults of curl and of other clients.
_JSON_LIKE = (b"", b"application/octet-stream", b"application/x-www-form-urlencoded", b"text/plain")


@dataclass(slots=True)
class HTTPCall(Call):
    """One inference call over HTTP."""

    scope: Scope
    receive: Receive
    headers: dict[bytes, bytes]

    def limit_by_headers(self) -> None:
        """End the call when its headers say that the caller waits no longer. Raises InvalidInput."""
        seconds = timeout_of(self.headers)
        if seconds is not None:
            self.limit(seconds)

    async def body(self) -> bytes:
        """Read the body and decompress it.

        Raises UnsupportedMedia, TooLarge, Overloaded, ClientGone, and InvalidInput for truncated compressed data.
        """
        encoding = self.headers.get(b"content-encoding")
        coding = coding_of(encoding) if encoding is not None else ""
        capacity = self.capacity
        declared = self.headers.get(b"content-length")
        self.content = await read_body(self.receive, declared, capacity.limits.body_bytes, capacity.budget)
        if coding:
            self.content = await self._decompressed(self.content, coding)
        self.exchange.request_bytes = len(self.content)
        return self.content

    async def _decompressed(self, body: bytes, coding: str) -> bytes:
        """Decompress a body, counting each piece in the budget: a few compressed bytes may expand to the limit."""
        limit, budget = self.capacity.limits.body_bytes, self.capacity.budget
        found = pieces(body, coding)
        content = bytearray()
        size = len(body)  # of the first piece's work; later pieces are offloaded even for a small body
        try:
            while piece := await self.offload(size, next, found, b""):
                if len(content) + len(piece) > limit:
                    raise TooLarge(f"the uncompressed body has more than {limit} bytes", remedy="send several requests")
                budget.take(len(piece), len(body) + len(content))
                content += piece
                size = OFF_LOOP_BYTES
        except BaseException:
            budget.give(len(content))
            raise
        budget.give(len(body))
        return bytes(content)

    def check_json(self) -> None:
        """Raise UnsupportedMedia if the Content-Type is not JSON."""
        content_type = self.headers.get(b"content-type", b"")
        if content_type == JSON:
            return
        media_type = content_type.partition(b";")[0].strip().lower()
        if media_type != JSON and media_type not in _JSON_LIKE and not media_type.endswith(b"+json"):
            found = media_type.decode("latin-1")[:80]
            raise UnsupportedMedia(f"unsupported Content-Type {found!r}", remedy="send application/json")

    def json_length(self, body: bytes) -> int | None:
        """Return the bytes of the JSON part if binary tensors follow it, otherwise None. Raises InvalidInput."""
        value = self.headers.get(_JSON_LENGTH)
        if value is None:
            return None
        if len(self.headers) < len(self.scope["headers"]) and sum(name == _JSON_LENGTH for name, _ in self.scope["headers"]) > 1:
            raise InvalidInput("Inference-Header-Content-Length is sent more than once", remedy="send it once")
        if not value.isdigit() or len(value) > 18 or int(value) > len(body):
            raise InvalidInput(
                f"Inference-Header-Content-Length is {value.decode('latin-1')[:40]!r}",
                remedy=f"send the number of bytes of the JSON part, at most the {len(body)} of the body",
            )
        return int(value)

    async def disconnected(self) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            pass
