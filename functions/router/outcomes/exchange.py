"""One call of an arm, from its assignment to the end of its reply: counted, and copied for the shadow."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Protocol

from functions.router.assignment import Assigned
from functions.router.headers import RawHeaders
from functions.router.outcomes.mirror import Mirror, Request
from functions.router.outcomes.observer import Observer
from functions.router.outcomes.sample import Draw
from functions.router.outcomes.window import Observed, Pair, Window
from functions.runtime.http.asgi import COLD
from functions.runtime.knative.traffic import Arm, RoutedModel

# A streamed reply is kept up to this size, to see which events of a batch failed; and all of them together.
_MOST_STREAMED_BYTES = 4 * 2**20
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
        if not assigned.items or request.method != "POST" or (self.observer is None and model.shadow is None):
            return None
        return Exchange(self, model, assigned, Draw.of(len(assigned.items)) if draw is None else draw, request)


class Exchange:
    """A call of the arm that a request, or a part of it, was assigned to. It ends once, or counts as nothing."""

    __slots__ = ("_assigned", "_began", "_chunks", "_cold", "_draw", "_exchanges", "_keeps", "_model", "_request", "_seconds", "_status")

    def __init__(self, exchanges: Exchanges, model: RoutedModel, assigned: Assigned, draw: Draw, request: Request) -> None:
        self._exchanges = exchanges
        self._model = model
        self._assigned = assigned
        self._draw = draw
        self._request = request
        self._began = monotonic()
        self._chunks: list[bytes] = []
        # Of a single request no streamed reply is kept: a large one has nothing to be read.
        self._keeps = draw.items > 1

    def failed(self, status: int) -> None:
        """The call failed without a reply; `status` is what the caller gets for it."""
        self._replied(status, ())
        self._count(None)

    def answered(self, answer: Answer, *, discarded: bool = False) -> bool:
        """The head of the answer has arrived, and its body unless it is streamed.

        Returns whether `chunk` and `end` are expected: not for an answer that is discarded. One of another arm, since
        the assigned one has been removed, counts as nothing.
        """
        if answer.arm.revision != self._assigned.arm.revision:
            return False
        self._replied(answer.status, answer.headers)
        if answer.content is None and not discarded:
            return True
        self._finish(answer.content)
        return False

    def chunk(self, chunk: bytes) -> None:
        """A chunk of a streamed reply."""
        if not self._keeps:
            return
        self._chunks.append(chunk)
        self._exchanges.kept_bytes += len(chunk)
        if sum(map(len, self._chunks)) > _MOST_STREAMED_BYTES or self._exchanges.kept_bytes > _MOST_KEPT_BYTES:
            self._forget()

    def end(self, *, complete: bool, broken: bool = False) -> None:
        """The end of a streamed reply: complete, broken off by the revision, or no longer wanted by the caller."""
        if broken:
            self._status = 0
        body = b"".join(self._chunks) if complete and self._keeps else None
        self._forget()
        self._finish(body)

    def _forget(self) -> None:
        self._exchanges.kept_bytes -= sum(map(len, self._chunks))
        self._chunks = []
        self._keeps = False

    def _replied(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        now, revision = monotonic(), self._assigned.arm.revision
        self._status = status
        self._seconds = now - self._began
        self._cold = False
        observer = self._exchanges.observer
        if observer is not None:
            if any(name == COLD for name, _ in headers):
                observer.started(self._model, revision)
            self._cold = observer.is_cold(self._model, revision, self._began)

    def _finish(self, body: bytes | None) -> None:
        self._count(body)
        if self._model.shadow is not None and body is not None and 200 <= self._status < 300 and None not in self._assigned.items:
            self._copy(body)

    def _count(self, body: bytes | None) -> None:
        if self._exchanges.observer is not None:
            arm, items = self._assigned
            call = Observed(arm.revision, items, self._status, self._seconds, self._cold, self._draw, body)
            self._exchanges.observer.add(self._model, call)

    def _copy(self, body: bytes) -> None:
        """Send a copy to the shadow. What was forced is not copied: its sender has asked for one revision."""
        sent = self._exchanges.mirror.send(self._model, self._request, lambda answer: self._compare(body, answer))
        window = None if sent else self._window()
        if window is not None:
            window.drop(len(self._assigned.items))

    def _compare(self, body: bytes, answer: bytes | None) -> None:
        window = self._window()
        if window is None:
            return
        if answer is None:
            window.fail(len(self._assigned.items))
        else:
            window.add_pair(Pair(self._assigned.items, body, answer))

    def _window(self) -> Window | None:
        observer = self._exchanges.observer
        return None if observer is None else observer.window(self._model)
