"""The base class of all errors that a user can act on, and the errors that several parts raise."""


class TidegateError(Exception):
    """An error that a user can fix.

    `message` names the cause and the thing; `remedy` is the fix, as an imperative. With a remedy, the string form is
    one sentence of both, `message; remedy.`, so neither ends with a period; without one, it is the message as given.
    """

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(f"{message}; {remedy}." if remedy else message)
        self.message = message
        self.remedy = remedy


class RemediedError(TidegateError):
    """An error that always has a remedy: the type checker rejects one without."""

    def __init__(self, message: str, *, remedy: str) -> None:
        super().__init__(message, remedy=remedy)


class InvalidEvent(TidegateError):
    """A message is not a CloudEvent, or its data does not match its content type."""


class InvalidSetting(RemediedError):
    """An environment variable is missing or has an invalid value."""
