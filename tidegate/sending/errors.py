"""Errors of `tidegate send`."""

from __future__ import annotations

from common.errors import TidegateError


class UnknownReceiver(TidegateError):
    """The option --to names no receiver, or more than one."""


class InvalidOption(TidegateError):
    """The event cannot be made of the options."""


class Unreachable(TidegateError):
    """There was no response."""
