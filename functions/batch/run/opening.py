"""The beginning of a run: a new one, one that goes on, or one that adds to its output."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from functions.batch.errors import InvalidPath, InvalidRequest, RunConflict
from functions.batch.request import BatchRequest
from functions.batch.run.manifest import Header, InputFile, Manifest, ModelInfo
from functions.batch.run.publish import remove_rest
from functions.batch.run.workspace import Workspace
from functions.batch.storage import SourceFile


def check_output(workspace: Workspace, request: BatchRequest) -> Manifest | None:
    """Return the manifest of the output if this run is complete already.

    Raises InvalidPath for an output that exists, unless the request replaces it or adds to it.
    """
    published = workspace.published()
    if published is not None and request.run and published.header.run == request.run and workspace.is_complete():
        return published
    if request.incremental and workspace.layout.is_file:
        raise InvalidRequest(
            f"an incremental run adds parts to a folder, but {request.output} is a file", remedy="name a folder as the output"
        )
    if request.overwrite or (request.incremental and published is not None):
        return None
    if workspace.output_exists() and not _is_own_output(workspace, request):
        raise InvalidPath(f"the output {request.output} exists already", remedy="choose another name, or overwrite it with --overwrite")
    return None


def _is_own_output(workspace: Workspace, request: BatchRequest) -> bool:
    """Return whether an output without its last mark is of an unfinished run: in its place, or a file without its manifest.

    The file appears after all parts, and before the manifest.
    """
    header = workspace.header()
    if header is None or workspace.layout.in_place:
        return header is not None
    return workspace.layout.is_file and header.run == request.run and workspace.manifest(header).is_complete


def header_of(workspace: Workspace, request: BatchRequest, files: Sequence[SourceFile], model: ModelInfo) -> Header:
    """Return what the run is, after a comparison with an earlier attempt, and note it.

    Raises RunConflict when the output belongs to another unfinished run, or when input or model have changed.
    """
    found = [InputFile(name=file.name, size=file.size, version=file.version, rows=file.rows) for file in files]
    earlier = workspace.header()
    if earlier is not None and earlier.run == request.run:
        _check_same(earlier, found, model, request)
        return earlier
    published = workspace.published() if workspace.layout.in_place and request.incremental else None
    if earlier is not None and published is not None and published.header.run == earlier.run:
        remove_rest(workspace, earlier.run)  # its process was killed when all was done
        earlier = None
    if earlier is not None and not request.overwrite:
        raise RunConflict(
            f"the output {request.output} belongs to the unfinished run {earlier.run}",
            remedy="go on with it by `tidegate batch resume`, or start again with --overwrite",
        )
    if earlier is not None:
        workspace.discard()
    header = Header(
        run=request.run,
        model=model,
        files=tuple(_added(published, found) if published else found),
        key=request.key,
        revision=request.revision,
        format=workspace.layout.format,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        incremental=published is not None,
    )
    workspace.save_header(header)
    return header


def _added(published: Manifest, found: Sequence[InputFile]) -> list[InputFile]:
    """The files of the output, followed by the new ones. Raises RunConflict for a file that has changed."""
    known = {file.name: file for file in published.header.files}
    changed = [file.name for file in found if file.name in known and known[file.name].version != file.version]
    if changed:
        raise RunConflict(f"{changed[0]} has changed since it was scored", remedy="score everything again with --overwrite")
    return [*published.header.files, *(file for file in found if file.name not in known)]


def _check_same(earlier: Header, found: Sequence[InputFile], model: ModelInfo, request: BatchRequest) -> None:
    versions = {file.name: file.version for file in found}
    changed = next((file.name for file in earlier.files if versions.get(file.name, file.version) != file.version), None)
    if changed is not None:
        raise RunConflict(f"{changed} has changed since the run began", remedy="start again with --overwrite")
    new = versions.keys() - {file.name for file in earlier.files}
    if new:
        raise RunConflict(f"the input has the new file {min(new)} since the run began", remedy="start again with --overwrite")
    if earlier.model.signature != model.signature or (request.revision and earlier.model != model):
        raise RunConflict(f"the model {model.name} has changed since the run began", remedy="start again with --overwrite")
    if (earlier.key, earlier.revision) != (request.key, request.revision):
        raise RunConflict("the run began with another key or revision", remedy="use the same, or start again with --overwrite")
