"""Errors of `tidegate streams`."""

from __future__ import annotations

from common.errors import TidegateError


class UnknownStream(TidegateError):
    """No stream has this name, and no topic is read by one."""
