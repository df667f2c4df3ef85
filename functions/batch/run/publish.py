"""The last step of a run: the output appears, complete, with its manifest."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from functions.batch.errors import WriteFailed
from functions.batch.run.manifest import NAME, SUCCESS, Manifest
from functions.batch.run.rejects import json_lines
from functions.batch.run.workspace import Workspace
from functions.batch.storage import Target, open_source

_OLD = ".tidegate-old"


def publish(workspace: Workspace, manifest: Manifest, schema: pa.Schema, **more: Any) -> None:
    """Make the output appear; `more` are further fields of its manifest.

    A process that is killed meanwhile does it again, to the same end.
    """
    if workspace.layout.is_file:
        _publish_file(workspace, manifest, schema, more)
    elif workspace.layout.in_place or workspace.local_output is None:
        _publish_in_place(workspace, manifest, more)
    else:
        _publish_folder(workspace, workspace.local_output, manifest, more)


def _publish_file(workspace: Workspace, manifest: Manifest, schema: pa.Schema, more: Mapping[str, Any]) -> None:
    """Assemble the file from its parts."""
    layout, place = workspace.layout, workspace.place
    with place.write(layout.name, schema) as sink:
        for entry in manifest.entries:
            part = open_source(workspace.work.location(entry.name), policy=workspace.policy)
            for piece in part.batches(part.files[0]):
                sink.write(piece.batch)
    written = {"size": sink.bytes, "digest": f"sha256:{sink.sha256}"}
    _put_rejects(place, layout.rejects, manifest)
    # A manifest of this run says that the output is complete.
    place.put_bytes(layout.manifest, manifest.to_json(output=written, **more))
    workspace.discard()


def _publish_in_place(workspace: Workspace, manifest: Manifest, more: Mapping[str, Any]) -> None:
    """Mark a folder whose parts are in their place."""
    place, own = workspace.place, {entry.name for entry in manifest.entries}
    place.delete(SUCCESS)
    for name in place.list("part-"):
        if name not in own:  # of an output that this one replaces
            place.delete(name)
    _put_rejects(place, workspace.layout.rejects, manifest)
    place.put_bytes(NAME, manifest.to_json(**more))
    place.put_bytes(SUCCESS, b"")
    workspace.discard()


def _publish_folder(workspace: Workspace, output: Path, manifest: Manifest, more: Mapping[str, Any]) -> None:
    """Rename the folder of the parts."""
    work, old = workspace.work, output.with_name(output.name + _OLD)
    assert work.path is not None  # noqa: S101 this is a local folder
    _put_rejects(work, workspace.layout.rejects, manifest)
    work.put_bytes(NAME, manifest.to_json(**more))
    work.put_bytes(SUCCESS, b"")
    try:
        if output.exists():
            _remove(old)
            output.rename(old)
        work.path.rename(output)
    except OSError as error:
        raise WriteFailed(f"cannot write {output}: {error.strerror or error}", remedy="choose another path for the output") from None
    # The state is removed last: without it, a killed process could not do this again.
    shutil.rmtree(output / "_tidegate", ignore_errors=True)
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _put_rejects(target: Target, name: str, manifest: Manifest) -> None:
    if manifest.rejects:
        target.put_bytes(name, json_lines(manifest))
    else:
        target.delete(name)
