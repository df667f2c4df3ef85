"""The base class of all errors that a user can act on, and the errors that several parts raise."""

from __future__ import annotations

from typing import Any


class TidegateError(Exception):
    """An error that a user can fix.

    `message` names the cause and the thing; `remedy` is the fix, as an imperative. With a remedy, the string form is
    one sentence of both, `message; remedy.`, so neither ends with a period; without one, it is the message as given.
    """

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(f"{message}; {remedy}." if remedy else message)
        self.message = message
        self.remedy = remedy

    def __reduce__(self) -> tuple[Any, ...]:
        # By its state, since the arguments of a subclass differ: an error may end in another process than it began in.
        return _restored, (type(self), self.args, self.__dict__)


class RemediedError(TidegateError):
    """An error that always has a remedy: the type checker rejects one without."""

    def __init__(self, message: str, *, remedy: str) -> None:
        super().__init__(message, remedy=remedy)


class InvalidEvent(TidegateError):
    """A message is not a CloudEvent, or its data does not match its content type."""


class InvalidSetting(RemediedError):
    """An environment variable is missing or has an invalid value."""


def _restored(kind: type[TidegateError], arguments: tuple[Any, ...], state: dict[str, Any]) -> TidegateError:
    error = kind.__new__(kind, *arguments)
    error.__dict__.update(state)
    return error
