"""Findings of checks, and the error of a check that has no access."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from common.errors import TidegateError

MAX_CHARACTERS = 200
"""The length of a message that a person is shown."""


class Level(StrEnum):
    """The severity of a finding.

    A note is worth knowing, or names what could not be inspected; only an error means that something will not work.
    """

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of a check. `message` is a sentence about `subject`; `remedy` is a command or a short instruction."""

    level: Level
    subject: str
    message: str
    remedy: str = ""


T = TypeVar("T")
Findings = Generator[Finding, None, T]
"""A check in progress: it yields its findings, and returns the result that later checks need."""


class NotInspectable(TidegateError):
    """Something cannot be inspected, for want of permission or of an answer. It says nothing about the thing itself."""


def ok(subject: str, message: str) -> Finding:
    return Finding(Level.OK, subject, message)


def note(subject: str, message: str, remedy: str = "") -> Finding:
    return Finding(Level.NOTE, subject, message, remedy)


def warning(subject: str, message: str, remedy: str) -> Finding:
    return Finding(Level.WARNING, subject, message, remedy)


def error(subject: str, message: str, remedy: str) -> Finding:
    return Finding(Level.ERROR, subject, message, remedy)


def of_error(subject: str, problem: TidegateError, level: Level = Level.ERROR) -> Finding:
    """The finding that an error of this project makes: its message as a sentence, and its remedy."""
    return Finding(level, subject, f"{problem.message.rstrip('.')}.", problem.remedy)


def shortened(text: str, limit: int = MAX_CHARACTERS) -> str:
    """The text on one line, cut after a word if it has more characters than `limit`."""
    line = " ".join(text.split())
    return line if len(line) <= limit else f"{line[: limit - 1].rsplit(' ', 1)[0].rstrip(' ,;:.')}…"


def listed(names: list[str] | tuple[str, ...]) -> str:
    """The names as prose: `a, b and c`."""
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
