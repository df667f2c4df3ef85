"""Failures of a call, by how far it came. A call that ran out of time is a TimeoutError."""

from __future__ import annotations


class CallFailed(Exception):
    """A call without a reply; the message is the reason in a few words."""


class NotConnected(CallFailed):
    """No connection was made, so that nothing was sent."""


class ConnectTimedOut(NotConnected):
    """No address accepted a connection in time."""


class ConnectionBroken(CallFailed):
    """The connection ended before the reply did; the request may have been executed."""


class MalformedReply(CallFailed):
    """The reply is not valid HTTP/1.1, or is framed in two ways."""
