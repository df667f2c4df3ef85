"""All of some changes, or none of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

from common.errors import TidegateError
from tidegate.scaffolding.plan import Change


class NotWritten(TidegateError):
    """A file could not be written. What was written before it has been taken back."""


def write(changes: Iterable[Change]) -> None:
    """Raises NotWritten. Whatever stops it, an interruption too, leaves everything as it was."""
    with contextlib.ExitStack() as undo:
        for change in changes:
            try:
                _make_folder(change.path.parent, undo)
                undo.callback(_take_back, change)
                change.path.write_text(change.text, "utf-8")
            except OSError as error:
                reason = error.strerror or error
                raise NotWritten(
                    f"cannot write {change.path}: {reason}; nothing was changed: let this user write there, and try again."
                ) from None
        undo.pop_all()


def _make_folder(folder: Path, undo: contextlib.ExitStack) -> None:
    if folder.is_dir():
        return
    _make_folder(folder.parent, undo)
    folder.mkdir()
    undo.callback(folder.rmdir)


def _take_back(change: Change) -> None:
    if change.before is None:
        change.path.unlink(missing_ok=True)
    elif change.path.read_text("utf-8") != change.before:
        change.path.write_text(change.before, "utf-8")
