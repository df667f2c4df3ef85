"""What can go wrong with a request, in the words of inference; one table says what HTTP makes of it."""

from __future__ import annotations

import logging
import uuid

from common.errors import InvalidEvent, TidegateError
from eventing.reply import Problem

log = logging.getLogger("tidegate.bug")

_LONGEST_SENTENCE = 500


class InvalidInput(TidegateError):
    """The request is not what the model's signature asks for."""


class UnknownModel(TidegateError):
    """No model, or no version of it, has this name here."""


class TooLarge(TidegateError):
    """The request has more bytes or rows than this function takes."""


class Overloaded(TidegateError):
    """More requests wait than may; later the same request can succeed."""


class Unauthenticated(TidegateError):
    """The request has no valid credential."""


class NotAllowed(TidegateError):
    """What is asked for is switched off in this function."""


class UnsupportedMedia(TidegateError):
    """The body is of a type, or packed in a way, that is not read here."""


class NotReady(TidegateError):
    """The model is being loaded, or the function is stopping."""


class Unreachable(TidegateError):
    """The revision that should answer does not."""


class NoWay(TidegateError):
    """The ingress knows no such host, for now: the request has reached nobody."""


class TimedOut(TidegateError):
    """The answer did not come within the request's time."""


class BadAnswer(TidegateError):
    """A revision answered, but not what its own metadata says."""


class InvalidModel(TidegateError):
    """A model's card or artifact cannot be used; the function does not start with it."""


_STATUS: dict[type[TidegateError], int] = {
    InvalidInput: 400,
    InvalidEvent: 400,
    Unauthenticated: 401,
    NotAllowed: 403,
    UnknownModel: 404,
    TooLarge: 413,
    UnsupportedMedia: 415,
    Overloaded: 429,
    NotReady: 503,
    BadAnswer: 502,
    Unreachable: 503,
    NoWay: 503,
    TimedOut: 504,
}
_TITLES: dict[type[TidegateError], str] = {
    InvalidInput: "invalid input",
    InvalidEvent: "invalid event",
    Unauthenticated: "unauthenticated",
    NotAllowed: "not allowed",
    UnknownModel: "unknown model",
    TooLarge: "too large",
    UnsupportedMedia: "unsupported media type",
    Overloaded: "overloaded",
    NotReady: "not ready",
    BadAnswer: "bad answer",
    Unreachable: "upstream unreachable",
    NoWay: "upstream unreachable",
    TimedOut: "timed out",
}


def status_of(error: TidegateError) -> int:
    """The HTTP status of a domain error."""
    return _STATUS.get(type(error), 500)


def title_of(error: TidegateError) -> str:
    """What kind of error it is, in a few words: few enough to be a label of a metric."""
    return _TITLES.get(type(error), "failed")


def sentence_of(error: TidegateError) -> str:
    """What the caller is told: of a sentence that quotes something very long of his, the beginning and the end."""
    sentence = str(error)
    return sentence if len(sentence) <= _LONGEST_SENTENCE else f"{sentence[:300]} … {sentence[-150:]}"


def problem_of(error: TidegateError) -> Problem:
    """The problem that goes into the answer to an event. An unknown model is 422 there, since Knative retries a 404."""
    status = 422 if isinstance(error, UnknownModel) else status_of(error)
    return Problem(status, title_of(error), sentence_of(error))


def log_bug(error: Exception, where: str) -> str:
    """Log a fault of ours; returns what its caller is told, with an id that the log has too."""
    reference = uuid.uuid4().hex[:12]
    log.error("bug %s at %s", reference, where, exc_info=error)
    return f"this is a fault of the function, logged as {reference}."
