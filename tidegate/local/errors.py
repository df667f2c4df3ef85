"""Errors of `tidegate up` that a user can act on."""

from __future__ import annotations

from common.errors import TidegateError


class UnusableFolder(TidegateError):
    """The state folder cannot be written, or other users can write it."""


class AlreadyRunning(TidegateError):
    """Another `tidegate up` uses the state folder."""


class StartFailed(TidegateError):
    """A replica could not be started, exited before it was ready, or did not become ready in time."""


class MissingProgram(TidegateError):
    """A program of this machine is missing or too old."""


class QueueFull(TidegateError):
    """A revision holds as many requests as it may."""


class NoReplica(TidegateError):
    """A revision has no replica and cannot start one now."""
