"""The documentation that a function serves: OpenAPI, a page to try it, and the JSON Schemas of its events' data.

FastAPI serves it. It is imported by `application`, which must not be imported before the first request of one of the
paths below.
"""

from __future__ import annotations

PATHS = ("/openapi.json", "/docs", "/schemas")


def serves(path: str) -> bool:
    """Return whether a path is one of PATHS or below it."""
    return path in PATHS or path.startswith(tuple(f"{known}/" for known in PATHS))
