"""How far a run is, by what it has written."""

from __future__ import annotations

from typing import Any

from functions.batch.run.workspace import Workspace, layout_of
from functions.batch.storage import EVERYTHING, Policy


def state_of(output: str, run: str, policy: Policy = EVERYTHING) -> dict[str, Any]:
    """Return the rows, parts and digests of a run, complete or not; empty if nothing of it is there."""
    for layout in (layout_of(output), layout_of(output, add=True)):
        workspace = Workspace(layout, policy)
        published = workspace.published()
        if published is not None and published.header.run == run:
            manifest, complete = published, True
        else:
            header = workspace.header()
            if header is None or header.run != run:
                continue
            manifest, complete = workspace.manifest(header), False
        rows = manifest.file_rows
        return {
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
    return {}
