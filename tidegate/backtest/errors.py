"""Errors of a comparison of revisions: each names what the user has to change."""

from __future__ import annotations

from common.errors import RemediedError


class RevisionNotFound(RemediedError):
    """The model has no such revision, tag or version."""


class SameRevision(RemediedError):
    """Both names mean one revision."""


class InvalidOutcomes(RemediedError):
    """The column of outcomes is missing, has other values than yes and no, or only one of them."""


class InvalidScores(RemediedError):
    """A model's output is not a probability."""


class InvalidGroups(RemediedError):
    """A column cannot divide the rows into slices or clusters."""
