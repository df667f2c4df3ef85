"""Errors of a replay: each names what the user has to change."""

from __future__ import annotations

from common.errors import RemediedError


class InvalidWindow(RemediedError):
    """A bound of the window is neither a time nor an offset, or the window is empty."""


class NothingToReplay(RemediedError):
    """The window has no records, no events, or no answers to compare with."""


class ReadStalled(RemediedError):
    """The broker returns no more records of a topic."""
