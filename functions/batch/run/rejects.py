"""Rows that are not scored: counted against a limit, and written as JSON Lines."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from functions.batch.errors import TooManyRejects
from functions.batch.run.manifest import Manifest, RejectedRow


class Rejects:
    """The number of rejected rows of a run, `count` of them in earlier attempts."""

    def __init__(self, file_names: Sequence[str], most: int, count: int = 0) -> None:
        self._file_names = file_names
        self._most = most
        self.count = count

    def add(self, file: int, reject: RejectedRow) -> None:
        """Count a row. Raises TooManyRejects, with its position and reason."""
        self.count += 1
        check(self.count, self._most, f"{reject.position} of {self._file_names[file]} cannot be scored: {reject.reason}")


def check(count: int, most: int, sentence: str) -> None:
    """Raise TooManyRejects if there are more rows than allowed."""
    if count > most:
        rows = "no row" if most == 0 else f"{most:,} rows" if most > 1 else "one row"
        raise TooManyRejects(f"{sentence} ({rows} may be rejected)", remedy="fix the input, or allow more rejected rows (max_rejects)")


def json_lines(manifest: Manifest) -> bytes:
    """Return a line {file, row, position, reason} for each rejected row, in order."""
    lines = (
        {"file": manifest.header.files[entry.file].name, "row": reject.row, "position": reject.position, "reason": reject.reason}
        for entry in manifest.entries
        for reject in entry.rejects
    )
    return b"".join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines)
