"""The last step of a run: the output appears, complete, with its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from functions.batch.run.manifest import Manifest
from functions.batch.run.rejects import json_lines
from functions.batch.run.workspace import Workspace
from functions.batch.storage import Policy, open_source

_OLD = ".tidegate-old"


def publish(workspace: Workspace, manifest: Manifest, schema: pa.Schema, policy: Policy, **more: Any) -> None:
    """Make the output appear; `more` are further fields of its manifest.

    A process that is killed meanwhile does it again, to the same end.
    """
    if workspace.layout.is_file:
        _publish_file(workspace, manifest, schema, policy, more)
    else:
        _publish_folder(workspace, manifest, more)


def _publish_file(workspace: Workspace, manifest: Manifest, schema: pa.Schema, policy: Policy, more: Mapping[str, Any]) -> None:
    target, layout = workspace.target, workspace.layout
    with target.write(layout.output, schema) as sink:
        for entry in manifest.entries:
            with open_source(target.location(layout.work + entry.name), policy=policy) as part:
                for piece in part.batches(part.files[0]):
                    sink.write(piece.batch)
    written = {"output": {"bytes": sink.written.bytes, "digest": sink.written.digest}}
    _put_rejects(workspace, manifest, "")
    # A manifest whose run is this one says that the output is complete.
    target.put_bytes(layout.manifest, manifest.to_json(**written, **more))
    workspace.discard()


def _publish_folder(workspace: Workspace, manifest: Manifest, more: Mapping[str, Any]) -> None:
    target, layout = workspace.target, workspace.layout
    if layout.in_place:
        target.delete(layout.success)
        _delete_others(workspace, manifest)
        _put_rejects(workspace, manifest, "")
        target.put_bytes(layout.manifest, manifest.to_json(**more))
        target.put_bytes(layout.success, b"")
        workspace.discard()
        return
    # The names within the folder that is about to be renamed.
    _put_rejects(workspace, manifest, layout.work)
    target.put_bytes(layout.work + _within(workspace, layout.manifest), manifest.to_json(**more))
    target.put_bytes(layout.work + _within(workspace, layout.success), b"")
    workspace.remove(layout.state)
    if target.exists(layout.output):
        workspace.remove(f"{layout.output}{_OLD}/")
        target.rename(layout.output, layout.output + _OLD)
    target.rename(layout.work.rstrip("/"), layout.output)
    workspace.remove(f"{layout.output}{_OLD}/")


def _put_rejects(workspace: Workspace, manifest: Manifest, work: str) -> None:
    name = work + _within(workspace, workspace.layout.rejects) if work else workspace.layout.rejects
    if manifest.rejects:
        workspace.target.put_bytes(name, json_lines(manifest))
    elif workspace.target.exists(name):
        workspace.target.delete(name)


def _within(workspace: Workspace, name: str) -> str:
    """A name of the output, relative to it."""
    return name.removeprefix(f"{workspace.layout.output}/")


def _delete_others(workspace: Workspace, manifest: Manifest) -> None:
    """Delete what an earlier output left, which readers of the folder would take for a part of this one."""
    layout = workspace.layout
    own: set[Any] = {layout.work + entry.name for entry in manifest.entries}
    for name in workspace.target.list(f"{layout.work}part-"):
        if name not in own:
            workspace.target.delete(name)
