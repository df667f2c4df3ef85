"""How far a run is, by what it has written."""

from __future__ import annotations

from typing import Any

from common.errors import TidegateError
from functions.batch.run.manifest import Manifest
from functions.batch.run.workspace import Workspace, layout_of
from functions.batch.storage import EVERYTHING, Policy


def state_of(output: str, run: str | None, policy: Policy = EVERYTHING) -> dict[str, Any]:
    """Return the rows, parts and digests of a run, complete or not; empty if nothing of it is there.

    Without a run, those of any run that has written the output, or is writing it.
    """
    try:
        return _state_of(output, run, policy)
    except TidegateError:
        # A run that is completed meanwhile moves its files. Anything else fails again.
        return _state_of(output, run, policy)


def _state_of(output: str, run: str | None, policy: Policy) -> dict[str, Any]:
    for layout in (layout_of(output), layout_of(output, add=True)):
        workspace = Workspace(layout, policy)
        published, header = workspace.published(), workspace.header()
        if published is not None and run in (None, published.header.run):
            return _shown(published, complete=True)
        if header is not None and run in (None, header.run):
            return _shown(workspace.manifest(header), complete=False)
    return {}


def _shown(manifest: Manifest, *, complete: bool) -> dict[str, Any]:
    rows = manifest.file_rows
    return {
        "run": manifest.header.run,
        "complete": complete,
        "rows": manifest.rows,
        "total_rows": None if None in rows else sum(filter(None, rows)),
        "rejects": manifest.rejects,
        "parts": len(manifest.entries),
        "files": len(manifest.header.files),
        "revisions": manifest.revisions,
        "digest": manifest.digest if complete else None,
        "model_versions": ", ".join(manifest.header.model.versions),
    }
