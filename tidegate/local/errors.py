"""What can keep the manifests from running as processes; each message is one sentence for a person."""

from __future__ import annotations

from eventing.errors import TidegateError


class InvalidManifest(TidegateError):
    """A manifest cannot be read, or says what no API server would take."""


class PortTaken(TidegateError):
    """Another program listens where the gateway or the API should."""


class AlreadyRunning(TidegateError):
    """Another `tidegate up` owns the state folder."""


class StartFailed(TidegateError):
    """A replica ended, or stayed silent, before it was ready."""


class Overloaded(TidegateError):
    """More requests are held for a revision than may be."""


class NotReady(TidegateError):
    """No replica of a revision can be started."""
