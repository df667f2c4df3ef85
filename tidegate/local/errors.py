"""What can keep the manifests from running as processes; each message is one sentence for a person."""

from __future__ import annotations

from common.errors import TidegateError
from tidegate.objects import InvalidManifest

__all__ = ["AlreadyRunning", "InvalidManifest", "NoReplica", "QueueFull", "StartFailed", "UnusableFolder"]


class UnusableFolder(TidegateError):
    """The state folder cannot be written."""


class AlreadyRunning(TidegateError):
    """Another `tidegate up` owns the state folder."""


class StartFailed(TidegateError):
    """A replica ended, or stayed silent, before it was ready."""


class QueueFull(TidegateError):
    """More requests are held for a revision than may be."""


class NoReplica(TidegateError):
    """No replica of a revision can be started."""
