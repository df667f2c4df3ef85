"""What a check finds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from common.errors import TidegateError

LONGEST = 200
"""Characters of a message."""


class Level(StrEnum):
    """How bad it is. A note is worth knowing, or names what could not be looked at; only an error means that something will not work."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """`message` is a sentence about `subject`; `remedy` is a command, or what to do in a few words."""

    level: Level
    subject: str
    message: str
    remedy: str = ""


class Unseen(TidegateError):
    """Something cannot be looked at: there is no right to it, or no answer. It says nothing about what is there."""


def ok(subject: str, message: str) -> Finding:
    return Finding(Level.OK, subject, message)


def note(subject: str, message: str, remedy: str = "") -> Finding:
    return Finding(Level.NOTE, subject, message, remedy)


def warning(subject: str, message: str, remedy: str) -> Finding:
    return Finding(Level.WARNING, subject, message, remedy)


def error(subject: str, message: str, remedy: str) -> Finding:
    return Finding(Level.ERROR, subject, message, remedy)


def of_error(subject: str, problem: TidegateError, level: Level = Level.ERROR) -> Finding:
    """The finding of an error: its message, and its remedy."""
    if problem.remedy:
        return Finding(level, subject, f"{problem.message}.", problem.remedy)
    message, separator, remedy = str(problem).rpartition("; ")
    return Finding(level, subject, f"{message}." if separator else remedy, remedy.rstrip(".") if separator else "")


def shortened(words: str, most: int = LONGEST) -> str:
    """The words on one line, cut at the end of a word if they are more than a reader takes in at once."""
    line = " ".join(words.split())
    return line if len(line) <= most else f"{line[: most - 1].rsplit(' ', 1)[0].rstrip(' ,;:.')}…"


def listed(names: list[str] | tuple[str, ...]) -> str:
    """`a, b and c`."""
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
