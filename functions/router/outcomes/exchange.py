"""One call of an arm, from its assignment to the end of its reply: counted, and copied for the shadow."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Protocol

from functions.router.assignment import Assigned
from functions.router.headers import RawHeaders
from functions.router.outcomes.mirror import Mirror, Request
from functions.router.outcomes.observer import ObservedModel, Observer
from functions.router.outcomes.sample import Draw
from functions.router.outcomes.window import GIVEN_UP, Observed, Pair
from functions.runtime.http.asgi import COLD
from functions.runtime.knative.traffic import Arm, RoutedModel

_COLD = (COLD, b"1")
# A streamed reply is kept up to this size: of a single request, for its score; of a batch, to see which events failed.
# The last limit is for all of them together.
_MOST_SINGLE_BYTES = 64 * 1024
_MOST_BATCH_BYTES = 4 * 2**20
_MOST_KEPT_BYTES = 16 * 2**20


class Answer(Protocol):
    """A reply, of which `content` is the whole body, or None if it is streamed."""

    @property
    def arm(self) -> Arm: ...
    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> RawHeaders: ...
    @property
    def content(self) -> bytes | None: ...


class Exchanges:
    """Begins exchanges, as far as there is anything to observe. `observer` is None if no outcomes are collected."""

    def __init__(self, observer: Observer | None, mirror: Mirror) -> None:
        self.observer = observer
        self.mirror = mirror
        self.kept_bytes = 0

    def begin(self, model: RoutedModel, assigned: Assigned, request: Request, draw: Draw | None = None) -> Exchange | None:
        """The exchange of a request for a prediction that is assigned by the split or by its sender.

        `draw` is that of the whole request, if this is a part of it.
        """
        if not assigned.items or request.method != "POST":
            return None
        observed = None if self.observer is None else self.observer.model(model)
        if observed is None and model.shadow is None:
            return None
        whole = Draw.of(len(assigned.items)) if draw is None else draw
        return Exchange(self, observed, model, assigned, whole, request, is_part=draw is not None)


class Exchange:
    """A call of the arm that a request, or a part of it, was assigned to. It ends once, or counts as nothing.

    That of a part ends by `joined`, together with those of the other parts: in one window, so that they are in its sample
    together, and not before it is known whether the reply can be joined with the others.
    """

    __slots__ = (
        "_assigned",
        "_began",
        "_chunks",
        "_cold",
        "_content",
        "_draw",
        "_exchanges",
        "_headers",
        "_is_part",
        "_keeps",
        "_model",
        "_observed",
        "_request",
        "_seconds",
        "_size",
        "_status",
    )

    def __init__(
        self,
        exchanges: Exchanges,
        observed: ObservedModel | None,
        model: RoutedModel,
        assigned: Assigned,
        draw: Draw,
        request: Request,
        *,
        is_part: bool,
    ) -> None:
        self._exchanges = exchanges
        self._observed = observed
        self._model = model
        self._assigned = assigned
        self._draw = draw
        self._request = request
        self._is_part = is_part
        self._content: bytes | None = None
        self._began = monotonic()
        self._chunks: list[bytes] = []
        self._size = 0
        self._keeps = True

    def failed(self, status: int) -> None:
        """The call failed, without a reply or with one of no use; `status` is what the caller gets for it."""
        self._content = None
        self._replied(status, ())
        self._count(None)

    def given_up(self) -> None:
        """The caller has disconnected before the reply: it has waited for too long, or the call says nothing of the arm."""
        self._replied(GIVEN_UP, ())
        if self._seconds > self._model.latency_slo:
            self._count(None)

    def answered(self, answer: Answer, *, discarded: bool = False) -> bool:
        """The head of the answer has arrived, and its body unless it is streamed.

        Returns whether `chunk` and `end` are expected: not for an answer that is discarded. One of another arm, since
        the assigned one has been removed, counts as nothing.
        """
        if answer.arm.revision != self._assigned.arm.revision:
            return False
        self._replied(answer.status, answer.headers)
        if discarded:
            self._finish(answer.content)
        elif self._is_part:
            self._content = answer.content
        elif answer.content is None:
            return True
        else:
            self._finish(answer.content)
        return False

    def joined(self) -> None:
        """The reply to a part was joined with the others, if it has one that has not failed."""
        content, self._content = self._content, None
        if content is not None:
            self._finish(content)

    @property
    def is_pending(self) -> bool:
        """Whether the reply to a part has arrived, and was neither joined nor of no use."""
        return self._content is not None

    def chunk(self, chunk: bytes) -> None:
        """A chunk of a streamed reply."""
        if not self._keeps:
            return
        self._chunks.append(chunk)
        self._size += len(chunk)
        self._exchanges.kept_bytes += len(chunk)
        most = _MOST_BATCH_BYTES if self._draw.items > 1 else _MOST_SINGLE_BYTES
        if self._size > most or self._exchanges.kept_bytes > _MOST_KEPT_BYTES:
            self._forget()

    def end(self, *, complete: bool, broken: bool = False) -> None:
        """The end of a streamed reply: complete, broken off by the revision, or no longer wanted by the caller."""
        if broken:
            self._status = 0
        body = b"".join(self._chunks) if complete and self._keeps else None
        self._forget()
        self._finish(body)

    def _forget(self) -> None:
        self._exchanges.kept_bytes -= self._size
        self._chunks, self._size = [], 0
        self._keeps = False

    def _replied(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        now, revision = monotonic(), self._assigned.arm.revision
        self._status = status
        self._headers = headers
        self._seconds = now - self._began
        self._cold = False
        if self._observed is not None:
            if _COLD in headers:
                self._observed.started(revision)
            self._cold = self._observed.is_cold(revision, self._began)

    def _finish(self, body: bytes | None) -> None:
        self._count(body)
        if self._model.shadow is not None and body is not None and self._is_copied():
            self._copy(body)

    def _is_copied(self) -> bool:
        """Whether the shadow gets a copy.

        Not of what was forced, since its sender has asked for one revision, nor of a body that was sent as it arrived.
        """
        return 200 <= self._status < 300 and None not in self._assigned.items and isinstance(self._request.body, bytes)

    def _count(self, body: bytes | None) -> None:
        if self._observed is not None:
            arm, items = self._assigned
            call = Observed(arm.revision, items, self._status, self._seconds, self._cold, self._draw, body, self._headers)
            self._observed.window(self._model).add(call)

    def _copy(self, body: bytes) -> None:
        """Send a copy to the shadow."""
        sent = self._exchanges.mirror.send(self._model, self._request, len(body), lambda answer: self._compare(body, answer))
        if not sent and self._observed is not None:
            self._observed.window(self._model).drop(len(self._assigned.items))

    def _compare(self, body: bytes, answer: bytes | None) -> None:
        if self._observed is None:
            return
        window = self._observed.window(self._model)
        if answer is None:
            window.fail(len(self._assigned.items))
        else:
            window.add_pair(Pair(self._assigned.items, body, answer))
