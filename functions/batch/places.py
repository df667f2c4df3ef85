"""Where a batch may read and write: files of this machine, and where there are allowed folders, below those alone.

A path is never taken for a URI: PyArrow would connect to the host that it names, with the credentials of the process.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from common.errors import InvalidSetting
from functions.runtime.errors import InvalidInput

SETTING = "TIDEGATE_BATCH_PATHS"
# What the manifests mount: the data of the component nightly-batch, and room for files that pass by.
DEFAULT_FOLDERS = "/data,/tmp"

# Characters of a path that a sentence repeats.
_LONGEST_SHOWN = 200
_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://")
# What a path can lead to besides a file, and what to do about it.
_KINDS = {
    stat.S_IFDIR: "a folder; name a file in it",
    stat.S_IFIFO: "a pipe; write its content into a file first",
    stat.S_IFCHR: "a device; name a file",
    stat.S_IFBLK: "a device; name a file",
    stat.S_IFSOCK: "a socket; name a file",
}


def folders(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """The folders of TIDEGATE_BATCH_PATHS, resolved. Raises InvalidSetting for one that is not absolute."""
    setting = environ.get(SETTING) or DEFAULT_FOLDERS
    found = tuple(Path(text.strip()) for text in setting.split(",") if text.strip())
    for folder in found:
        if not folder.is_absolute() or "\0" in str(folder):
            raise InvalidSetting(f"{SETTING} has {str(folder)!r}, which is not an absolute path; write it from the root.")
    return tuple(folder.resolve() for folder in found)


def check_local(path: str, allowed: Sequence[Path] | None = None) -> None:
    """Raises InvalidInput for a URI, which may hold a secret and so is not repeated, and for a path outside the allowed folders."""
    _resolved(path, allowed)


def opened(path: str, allowed: Sequence[Path] | None = None) -> BinaryIO:
    """A regular file, open for reading. Raises InvalidInput for anything else, and for one outside the allowed folders; None allows all."""
    place = _resolved(path, allowed)
    try:
        # A pipe would be waited for, and a link that has been put in the place of a resolved file would be followed.
        descriptor = os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise InvalidInput(f"there is no file {path}; check the path.") from None
    except OSError as error:
        raise InvalidInput(_unreadable(path, error)) from None
    kind = stat.S_IFMT(os.fstat(descriptor).st_mode)
    if kind != stat.S_IFREG:
        os.close(descriptor)
        raise InvalidInput(f"{path} is {_KINDS.get(kind, 'not a file; name one')}.")
    return os.fdopen(descriptor, "rb")


def writable(path: str, allowed: Sequence[Path] | None = None) -> Path:
    """The path of a file that may be written, its folder resolved. Raises InvalidInput if there is no such folder, or it is not allowed."""
    place = _resolved(path, allowed)
    try:
        if not place.parent.is_dir():
            raise InvalidInput(f"there is no folder {place.parent} for the output; create it first.")
        if place.exists() and not place.is_file():
            raise InvalidInput(f"the output {path} is not a file; choose another name.")
    except OSError as error:
        raise InvalidInput(f"cannot write {_shown(path)}: {_reason(error)}; choose another place for the output.") from None
    return place


def _resolved(path: str, allowed: Sequence[Path] | None) -> Path:
    """Without links and dots. Raises InvalidInput."""
    uri = _URI.match(path)
    if uri:
        # Only its scheme is repeated: a URI may hold a secret.
        raise InvalidInput(f"a path is a URI of the scheme {uri[1]}; files of this machine alone are read and written: mount the storage.")
    if "\0" in path:
        raise InvalidInput(f"the path {_shown(path)} has a NUL character, which no file's name has; correct it.")
    try:
        place = Path(path).resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise InvalidInput(f"the path {_shown(path)} cannot be followed ({_reason(error)}); correct it.") from None
    _check_allowed(path, place, allowed)
    return place


def _check_allowed(path: str, place: Path, allowed: Sequence[Path] | None) -> None:
    if allowed is not None and not any(place.is_relative_to(folder) for folder in allowed):
        names = ", ".join(map(str, allowed)) or "none"
        raise InvalidInput(f"{_shown(path)} is outside the folders that a batch may use ({names}); {SETTING} names them.")


def _unreadable(path: str, error: OSError) -> str:
    if error.errno == errno.ENXIO:
        return f"{path} is {_KINDS[stat.S_IFSOCK]}."
    return f"cannot read {_shown(path)}: {_reason(error)}; check the path and its permissions."


def _shown(path: str) -> str:
    return repr(path if len(path) <= _LONGEST_SHOWN else f"{path[:_LONGEST_SHOWN]}…")


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).rstrip(".")
