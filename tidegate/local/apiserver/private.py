"""Folders and files that only their owner can read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from tidegate.local.errors import UnusableFolder

_OWNER_ONLY = 0o700
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def make_private(folder: Path, *, mark: str) -> None:
    """Create the folder for its owner only.

    An existing folder is made private if it is empty or has the file `mark`, by which an earlier run is recognized; any
    other keeps its permissions. Raises UnusableFolder if other users can write there, since they could replace the
    files, or OSError.
    """
    folder.mkdir(mode=_OWNER_ONLY, parents=True, exist_ok=True)
    if folder.stat().st_uid == os.getuid() and ((folder / mark).exists() or not any(folder.iterdir())):
        folder.chmod(_OWNER_ONLY)
    found = folder.stat()
    if found.st_uid != os.getuid():
        raise UnusableFolder(f"{folder} belongs to another user, who could change its files", remedy="choose another --state-dir")
    if found.st_mode & _WRITABLE_BY_OTHERS:
        message = f"{folder} can be written by other users, who could change its files"
        raise UnusableFolder(message, remedy="choose another --state-dir, or chmod go-w it")


def write_private(path: Path, text: str) -> Path:
    """Write a file with mode 0600, atomically for its readers. Raises OSError."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    temporary.replace(path)
    return path
