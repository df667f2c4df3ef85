"""Errors of the rollout function."""

from __future__ import annotations

from common.errors import RemediedError


class InvalidPolicy(RemediedError):
    """An annotation, a file or an option of a rollout makes no sense. The message starts with its name and the field."""


class InvalidState(RemediedError):
    """The annotation with a rollout's state was not written by this program."""


class NotPossible(RemediedError):
    """A rollout cannot do this with the Knative Service as it is."""
