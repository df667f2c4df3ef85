"""What a function tells of itself to people and to other tools: OpenAPI, a page to try it, and the JSON Schemas of its events' data.

FastAPI serves these. It is imported by `application`, which nothing may import before one of the paths below is asked for.
"""

from __future__ import annotations

PATHS = ("/openapi.json", "/docs", "/schemas")


def serves(path: str) -> bool:
    """Whether a path belongs here: one of PATHS, or anything below it."""
    return path in PATHS or path.startswith(tuple(f"{known}/" for known in PATHS))
