"""The last step of a run: the output appears, complete, with its manifest."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from functions.batch.errors import InvalidPath
from functions.batch.run.manifest import NAME, SUCCESS, Manifest
from functions.batch.run.rejects import json_lines
from functions.batch.run.workspace import Workspace
from functions.batch.storage import Target, digest_of, open_source
from functions.batch.storage.names import write_failed

_OLD = ".tidegate-old"
_EMPTY = hashlib.sha256().hexdigest()


def publish(workspace: Workspace, manifest: Manifest, schema: pa.Schema, *, overwrite: bool, **more: Any) -> None:
    """Make the output appear; `more` are further fields of its manifest.

    A process that is killed meanwhile does it again, to the same end. Raises InvalidPath for an output that has
    appeared since the run began, unless `overwrite`.
    """
    if workspace.layout.is_file:
        _publish_file(workspace, manifest, schema, overwrite, more)
    elif workspace.layout.in_place or workspace.local_output is None:
        _publish_in_place(workspace, manifest, more)
    else:
        _publish_folder(workspace, workspace.local_output, manifest, overwrite, more)


def remove_rest(workspace: Workspace, run: str) -> None:
    """Remove what a run has left beside its complete output, or in it, when its process was killed."""
    for place in (workspace, workspace.in_output):
        header = place.header()
        if header is not None and header.run == run:
            place.discard()
    if workspace.local_output is not None:
        _remove(_old(workspace.local_output))


def _publish_file(workspace: Workspace, manifest: Manifest, schema: pa.Schema, overwrite: bool, more: Mapping[str, Any]) -> None:
    """Assemble the file from its parts."""
    layout, place = workspace.layout, workspace.place
    with place.write(layout.name, schema) as sink:
        for entry in manifest.entries:
            part = open_source(workspace.work.location(entry.name), policy=workspace.policy)
            for piece in part.batches(part.files[0]):
                sink.write(piece.batch)
        sink.finish()
        if not overwrite:
            _check_own(workspace, sink.sha256)
    written = {"size": sink.bytes, "digest": f"sha256:{sink.sha256}"}
    _put_rejects(place, layout.rejects, manifest)
    # A manifest of this run says that the output is complete.
    place.put_bytes(layout.manifest, manifest.to_json(output=written, **more))
    workspace.discard()


def _check_own(workspace: Workspace, sha256: str) -> None:
    """Check that a file at the output is that of an attempt that was killed before its manifest. Raises InvalidPath.

    The same rows give the same bytes; an object in Azure is empty until its upload is complete.
    """
    if not workspace.output_exists():
        return
    found = digest_of(workspace.place.location(workspace.layout.name), workspace.policy)
    if found != sha256 and (workspace.place.is_local or found != _EMPTY):
        raise _in_the_way(workspace.layout.output)


def _in_the_way(output: str) -> InvalidPath:
    return InvalidPath(
        f"the output {output} has appeared since the run began, and is not of it",
        remedy="move it away, then go on by `tidegate batch resume`, or by the next attempt of the Job",
    )


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


def _publish_folder(workspace: Workspace, output: Path, manifest: Manifest, overwrite: bool, more: Mapping[str, Any]) -> None:
    """Rename the folder of the parts. Its state is removed last: without it, a killed process could not do this again."""
    work, old = workspace.work, _old(output)
    if output.exists() and not overwrite:
        raise _in_the_way(workspace.layout.output)
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
        raise write_failed(str(output), error) from None
    remove_rest(workspace, manifest.header.run)


def _old(output: Path) -> Path:
    """The path of an output while it is replaced."""
    return output.with_name(output.name + _OLD)


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
