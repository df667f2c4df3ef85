"""Writing of a set of changes: all of them, or none."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

from common.errors import TidegateError
from tidegate.scaffolding.plan import Change


class NotWritten(TidegateError):
    """A file could not be written. The changes before it have been undone."""


def write(changes: Iterable[Change]) -> None:
    """Write all changes. An error or an interruption undoes them. Raises NotWritten."""
    with contextlib.ExitStack() as undo:
        for change in changes:
            try:
                _make_folder(change.path.parent, undo)
                undo.callback(_undo, change)
                change.path.write_text(change.text, "utf-8")
            except OSError as error:
                reason = error.strerror or error
                raise NotWritten(
                    f"cannot write {change.path}: {reason}; nothing was changed", remedy="let this user write there, and try again"
                ) from None
        undo.pop_all()


def _make_folder(folder: Path, undo: contextlib.ExitStack) -> None:
    if folder.is_dir():
        return
    _make_folder(folder.parent, undo)
    folder.mkdir()
    undo.callback(folder.rmdir)


def _undo(change: Change) -> None:
    if change.before is None:
        change.path.unlink(missing_ok=True)
    elif change.path.read_text("utf-8") != change.before:
        change.path.write_text(change.before, "utf-8")
