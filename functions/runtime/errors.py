"""Errors of requests and models in terms of inference, and the one table that maps them to HTTP."""

from __future__ import annotations

import logging
import uuid
from typing import NamedTuple

from common.errors import InvalidEvent, RemediedError, TidegateError
from eventing.reply import Problem

log = logging.getLogger("tidegate.bug")

_LONGEST_SENTENCE = 500
_LONGEST_PATH = 200


class ClientGone(Exception):
    """The client has disconnected before the response."""


class InvalidInput(TidegateError):
    """The request does not match the model's signature."""


class UnknownModel(TidegateError):
    """No model, or no version or revision of it, has this name here."""


class TooLarge(RemediedError):
    """The request has more bytes or rows than this function accepts."""


class Overloaded(RemediedError):
    """More requests wait than may; a retry can succeed later."""


class Unauthenticated(TidegateError):
    """The request has no valid credential."""


class NotAllowed(TidegateError):
    """The operation is switched off in this function."""


class UnsupportedMedia(RemediedError):
    """The media type or the compression of the body is not supported."""


class NotReady(TidegateError):
    """The model is being loaded, or the function is stopping."""


class Unreachable(TidegateError):
    """The revision that should answer does not."""


class RouteNotReady(TidegateError):
    """The ingress has no route to the revision yet: the request has reached no container."""


class TimedOut(TidegateError):
    """The request took longer than its time limit."""


class BadAnswer(TidegateError):
    """A revision's answer contradicts its own metadata."""


class InvalidModel(TidegateError):
    """A model's card or artifact cannot be used; the function does not start with it."""


class _Response(NamedTuple):
    status: int
    title: str


_RESPONSES: dict[type[TidegateError], _Response] = {
    InvalidInput: _Response(400, "invalid input"),
    InvalidEvent: _Response(400, "invalid event"),
    Unauthenticated: _Response(401, "unauthenticated"),
    NotAllowed: _Response(403, "not allowed"),
    UnknownModel: _Response(404, "unknown model"),
    TooLarge: _Response(413, "too large"),
    UnsupportedMedia: _Response(415, "unsupported media type"),
    Overloaded: _Response(429, "overloaded"),
    InvalidModel: _Response(500, "failed"),
    BadAnswer: _Response(502, "bad answer"),
    NotReady: _Response(503, "not ready"),
    Unreachable: _Response(503, "upstream unreachable"),
    RouteNotReady: _Response(503, "upstream unreachable"),
    TimedOut: _Response(504, "timed out"),
    TidegateError: _Response(500, "failed"),
}


def status_of(error: TidegateError) -> int:
    """The HTTP status of a domain error."""
    return _response(error).status


def title_of(error: TidegateError) -> str:
    """The kind of the error in a few words: few enough kinds for a label of a metric."""
    return _response(error).title


def _response(error: TidegateError) -> _Response:
    """The row of the error's class, or of the nearest class that it inherits from."""
    return next(_RESPONSES[kind] for kind in type(error).__mro__ if kind in _RESPONSES)


def sentence_of(error: TidegateError) -> str:
    """The sentence for the caller; a very long one, which quotes a value of the caller's, is cut in the middle."""
    sentence = str(error)
    return sentence if len(sentence) <= _LONGEST_SENTENCE else f"{sentence[:300]} … {sentence[-150:]}"


def problem_of(error: TidegateError) -> Problem:
    """The problem in the answer to an event. An unknown model is 422 there, since Knative retries a 404."""
    status = 422 if isinstance(error, UnknownModel) else status_of(error)
    return Problem(status, title_of(error), sentence_of(error))


def log_bug(error: Exception, where: str) -> str:
    """Log an unexpected exception with its traceback; returns the sentence for the caller, with a reference."""
    reference = uuid.uuid4().hex[:12]
    log.error("bug %s at %s", reference, where, exc_info=error)
    return f"internal error; reference {reference}."


def no_route(path: str) -> str:
    """The sentence of a 404 for a path that is not served."""
    return f"no route for {path[:_LONGEST_PATH]}."


def method_not_allowed(method: str, path: str) -> str:
    """The sentence of a 405."""
    return f"method {method} not allowed for {path[:_LONGEST_PATH]}."


def too_many_requests(limit: int) -> Overloaded:
    """The error of a request above the limit of requests in flight."""
    return Overloaded(f"{limit} requests in flight, which is the limit", remedy="retry later")


def not_a_cloudevent() -> InvalidEvent:
    """The error of a request that has neither ce- headers nor the media type of an event."""
    return InvalidEvent("the request is not a CloudEvent", remedy="send ce- headers, or the content type application/cloudevents+json")
