"""Times on the command line: RFC 3339, or a duration before now; and as people read them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_AGO = re.compile(r"(\d+)(ms|s|m|h|d)")
_UNITS = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def milliseconds(text: str, now: datetime) -> int | None:
    """Return an ISO 8601 time (UTC without an offset), or a duration before now such as `15m`, since the epoch.

    None for any other text.
    """
    try:
        ago = _AGO.fullmatch(text)
        time = now - timedelta(**{_UNITS[ago[2]]: int(ago[1])}) if ago else datetime.fromisoformat(text)
        time = time if time.tzinfo else time.replace(tzinfo=UTC)
        return max(0, round(time.timestamp() * 1000))
    except (ValueError, OverflowError):
        return None


def shown(ms: int) -> str:
    """Return a time in UTC, to the second; a record's may be none that a calendar has."""
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return f"{ms} ms"
