"""Names and errors that all kinds of targets share."""

from __future__ import annotations

import errno

from functions.batch.errors import InvalidPath, WriteFailed

# Bytes of a file that is read into memory, such as a manifest.
MAX_READ_BYTES = 64 * 2**20
_FULL = (errno.ENOSPC, errno.EDQUOT)


def checked_name(name: str) -> str:
    """Return a relative name of a file. Raises InvalidPath for one that leads elsewhere."""
    if not name or "\0" in name or any(segment in ("", ".", "..") for segment in name.split("/")):
        raise InvalidPath(f"{name[:200]!r} is not the name of a file in a folder", remedy="use a relative name")
    return name


def checked_size(content: bytes, location: str) -> bytes:
    """Return the content of a file that was read up to one byte over the limit. Raises InvalidPath."""
    if len(content) > MAX_READ_BYTES:
        raise InvalidPath(f"{location} has more than {MAX_READ_BYTES:,} bytes", remedy="check the path")
    return content


def write_failed(location: str, error: OSError) -> WriteFailed:
    """Return the error of a failed write; a full disk has a remedy of its own."""
    if error.errno in _FULL:
        return WriteFailed(
            f"the disk of {location} is full", remedy="free space, then go on by `tidegate batch resume`, or by the next attempt of the Job"
        )
    reason = (error.strerror or str(error).partition("\n")[0] or type(error).__name__).rstrip(".")
    return WriteFailed(f"cannot write {location} ({reason})", remedy="choose another path for the output")
