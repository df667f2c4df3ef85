"""Errors of `tidegate deadletters`: each names what the user has to change."""

from __future__ import annotations

from common.errors import RemediedError


class UnknownTopic(RemediedError):
    """The broker has no such topic."""


class InvalidFilter(RemediedError):
    """An option that selects letters has an invalid value."""


class NoSuchLetter(RemediedError):
    """No letter is there, or none matches the options."""


class NotAcknowledged(RemediedError):
    """The broker has not acknowledged a record, which may have been written."""


class ModelUnavailable(RemediedError):
    """The model does not answer."""
