"""Paths that a batch may read: local files, below the allowed folders if there are any.

A path is never treated as a URI: PyArrow would connect to the host that it names, with the credentials of the process.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from functions.batch.errors import InvalidPath

SETTING = "TIDEGATE_BATCH_PATHS"

# Characters of a path that a message quotes.
_MAX_SHOWN = 200
_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://")
# Kinds of files that are not regular, and the remedy for each.
_KINDS = {
    stat.S_IFDIR: ("a folder", "name a file in it"),
    stat.S_IFIFO: ("a pipe", "write its content into a file first"),
    stat.S_IFCHR: ("a device", "name a file"),
    stat.S_IFBLK: ("a device", "name a file"),
    stat.S_IFSOCK: ("a socket", "name a file"),
}


def open_input(path: str, allowed: Sequence[Path] | None = None) -> BinaryIO:
    """Open a regular file for reading.

    Raises InvalidPath for anything else, and for a path outside the allowed folders; None allows all.
    """
    resolved = _resolved(path, allowed)
    try:
        # Opening a pipe would block, and a link that replaced the resolved file would be followed.
        descriptor = os.open(resolved, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise InvalidPath(f"file {path} not found", remedy="check the path") from None
    except OSError as error:
        raise _unreadable(path, error) from None
    kind = stat.S_IFMT(os.fstat(descriptor).st_mode)
    if kind != stat.S_IFREG:
        os.close(descriptor)
        raise _not_regular(path, kind)
    return os.fdopen(descriptor, "rb")


def _resolved(path: str, allowed: Sequence[Path] | None) -> Path:
    """Return the path without links and dots. Raises InvalidPath."""
    uri = _URI.match(path)
    if uri:
        # Only the scheme is quoted: a URI may hold a secret.
        raise InvalidPath(f"a path is a URI of the scheme {uri[1]}; a batch reads and writes local files", remedy="mount the storage")
    if "\0" in path:
        raise InvalidPath(f"the path {_shown(path)} has a NUL character", remedy="remove it")
    try:
        resolved = Path(path).resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise InvalidPath(f"the path {_shown(path)} cannot be resolved ({_reason(error)})", remedy="check the path") from None
    _check_allowed(path, resolved, allowed)
    return resolved


def _check_allowed(path: str, resolved: Path, allowed: Sequence[Path] | None) -> None:
    if allowed is not None and not any(resolved.is_relative_to(folder) for folder in allowed):
        names = ", ".join(map(str, allowed)) or "none"
        raise InvalidPath(f"{_shown(path)} is outside the folders that a batch may use ({names})", remedy=f"set {SETTING} to allow others")


def _unreadable(path: str, error: OSError) -> InvalidPath:
    if error.errno == errno.ENXIO:
        return _not_regular(path, stat.S_IFSOCK)
    return InvalidPath(f"cannot read {_shown(path)}: {_reason(error)}", remedy="check the path and its permissions")


def _not_regular(path: str, kind: int) -> InvalidPath:
    name, remedy = _KINDS.get(kind, ("not a file", "name a file"))
    return InvalidPath(f"{path} is {name}", remedy=remedy)


def _shown(path: str) -> str:
    return repr(path if len(path) <= _MAX_SHOWN else f"{path[:_MAX_SHOWN]}…")


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).rstrip(".")
