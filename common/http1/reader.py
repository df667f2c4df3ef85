"""Replies of HTTP/1.1 (RFC 9112), read from a connection's bytes wherever they are cut. No I/O."""

from __future__ import annotations

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from common.http1.errors import MalformedReply

# The limit of what is neither a body nor kept: a head with the interim replies before it, trailers, framing of chunks.
MAX_OVERHEAD_BYTES = 64 * 1024
# Statuses of replies without a body, whatever their headers say (RFC 9112, section 6.3).
_BODILESS = frozenset({204, 304})
# llhttp's reasons are of any length in theory; these become part of a sentence.
_REASON_LENGTH = 100


class ReplyReader:
    """The reader of the replies on one connection, one after the other.

    `status` is 0 until the head of the final reply is complete; interim replies (1xx) are skipped. `headers` are as
    received. `length` is that of Content-Length, None without one. `reusable` is whether the connection can carry
    another request once the reply is complete.
    """

    def __init__(self) -> None:
        self.begin("GET")
        self._fault = ""
        self._parser = HttpResponseParser(self)

    def begin(self, method: str) -> None:
        """Expect the reply to a request of this method."""
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.length: int | None = None
        self.complete = False
        self.reusable = False
        self.buffered = 0
        self._chunks: list[bytes] = []
        self._is_head = method == "HEAD"
        self._until_end = False
        self._overhead = 0

    @property
    def has_begun(self) -> bool:
        """Whether a byte of the reply has arrived."""
        return self._overhead > 0 or self.status > 0

    def feed(self, data: bytes) -> None:
        """Read the next bytes. Raises MalformedReply; never for bytes after a complete reply, which are dropped."""
        if self.complete:
            self.reusable = False
            return
        self._overhead += len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            raise MalformedReply("status 101, which is not a final one") from None
        except HttpParserError as error:
            if not self.complete:
                raise MalformedReply(self._fault or str(error)[:_REASON_LENGTH]) from None
            self.reusable = False
        if self._fault:
            raise MalformedReply(self._fault)
        if self._overhead > MAX_OVERHEAD_BYTES and not self.complete:
            raise MalformedReply(f"more than {MAX_OVERHEAD_BYTES} bytes of headers")

    def end(self) -> bool:
        """The connection has ended: return whether that completes the reply, as of one without a length."""
        self.reusable = False
        if self._until_end:
            self.complete = True
        return self.complete

    def take(self) -> bytes:
        """Return the bytes of the body that have arrived since the last call."""
        chunks, self._chunks, self.buffered = self._chunks, [], 0
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def close(self) -> None:
        """Drop the parser, which refers to its reader: without the cycle, the memory is free at once."""
        del self._parser

    # Callbacks of the parser.
    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.status:  # trailers are not headers (RFC 9110, section 6.5.1)
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if 100 <= status < 200 and status != 101:
            self.headers = []
            return
        if not 200 <= status < 600:
            self._fault = f"status {status}, which is not a final one"
            return
        self.status = status
        chunked = self._framing()
        self.reusable = self._parser.should_keep_alive()
        if self._is_head or status in _BODILESS:
            self.complete = True
            # This one would now read a body, of which the method and the status say that there is none.
            self._parser = HttpResponseParser(self)
        else:
            self._until_end = not chunked and self.length is None

    def on_body(self, body: bytes) -> None:
        if self.complete:
            self.reusable = False
            return
        self._overhead = 0
        self._chunks.append(body)
        self.buffered += len(body)

    def on_message_complete(self) -> None:
        if self.status:
            self.complete = True

    def on_message_begin(self) -> None:
        if self.complete:  # no request asked for a second reply
            self.reusable = False

    def _framing(self) -> bool:
        """Return whether the body is chunked, and set `length`. The parser has refused contradictions."""
        chunked = False
        for name, value in self.headers:
            size = len(name)
            if size == 14 and name.lower() == b"content-length":
                self.length = int(value)
            elif size == 17 and name.lower() == b"transfer-encoding":
                if chunked or value.strip().lower() != b"chunked":
                    self._fault = "an unsupported Transfer-Encoding"
                chunked = True
        if chunked and self.length is not None:
            self._fault = "both Content-Length and Transfer-Encoding"
        return chunked
