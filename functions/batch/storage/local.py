"""Files of this machine, for reading. Each file is checked again when it is opened, by its descriptor."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from functions.batch.errors import InvalidPath
from functions.batch.storage import paths
from functions.batch.storage.locations import Location
from functions.batch.storage.policy import Policy
from functions.batch.storage.stores import Found


class LocalStore:
    """The file systems of this machine, below the allowed folders."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def stat(self, location: Location) -> Found | None:
        """Return the file at a path, None for a folder or nothing. Raises InvalidPath for a pipe or a device."""
        self._policy.check(location)
        try:
            found = Path(location.path).stat()
        except OSError:
            return None
        if stat.S_ISDIR(found.st_mode):
            return None
        return Found(Path(location.path).name, location, found.st_size)

    def walk(self, location: Location) -> Iterator[Found]:
        """Yield the regular files below a folder; folders behind links are left out, since links can form circles."""
        self._policy.check(location)
        root = Path(location.path)
        if not root.is_dir():
            raise InvalidPath(f"file {location} not found", remedy="check the path")
        for folder, _, files in os.walk(root, onerror=_raise):
            for file in files:
                path = Path(folder) / file
                if path.is_file():
                    name = path.relative_to(root).as_posix()
                    yield Found(name, location.child(name), path.stat().st_size)

    def open(self, location: Location) -> BinaryIO:
        """Open a regular file below the allowed folders. Raises InvalidPath."""
        return paths.open_input(location.path, self._policy.folders)

    def version(self, file: Any) -> str:
        """Return the digest of an open file."""
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        return f"sha256:{digest}"


def _raise(error: OSError) -> None:
    raise InvalidPath(f"cannot read {error.filename}: {error.strerror}", remedy="check the path and its permissions") from None
