"""Errors of a batch: each names what the user has to change."""

from __future__ import annotations

from common.errors import RemediedError, TidegateError
from common.redaction import redact

_MAX_REASON = 200


class InvalidRequest(TidegateError):
    """The event does not describe a batch."""


class InvalidPath(RemediedError):
    """A path is not allowed, does not exist, or is not a regular file."""


class InvalidDataset(RemediedError):
    """The input is not Parquet, is damaged, or has columns or values that the model does not take."""


class InvalidMetadata(TidegateError):
    """The model's metadata does not describe a model of tables."""


class WriteFailed(TidegateError):
    """The output cannot be written."""


class InvalidManifest(RemediedError):
    """The manifest of a run is damaged, or belongs to another version of Tidegate."""


class RunConflict(RemediedError):
    """A run cannot begin or go on: its output exists, its input has changed, or another process works on it."""


class TooManyRejects(RemediedError):
    """More rows were rejected than the request allows."""


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's text, without its period and without secrets."""
    return redact((str(error).splitlines() or [type(error).__name__])[0]).rstrip(".")[:_MAX_REASON]
