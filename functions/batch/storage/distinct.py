"""The check that an output is not one of its inputs, by another path or a link either."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from functions.batch.errors import InvalidPath
from functions.batch.storage import locations
from functions.batch.storage.locations import Location
from functions.batch.storage.pieces import SourceFile


def check_distinct(location: str, files: tuple[SourceFile, ...], output: str) -> None:
    """Check that a run does not write what it reads: an input, a link to it, or a folder that is read.

    Raises InvalidPath.
    """
    source, target = locations.parse(location), locations.parse(output)
    if source.scheme != target.scheme:
        return
    wanted = target.address
    own_files = {_identity(path) for path in _files_of(target)} - {None}
    for file in files:
        place = Location(source.scheme, file.location) if source.is_local else locations.parse(file.location)
        if place.address.within(wanted) or (own_files and _identity(Path(file.location)) in own_files):
            raise InvalidPath(f"the output {target} is the input {place}, or holds it", remedy="choose another output")
    folder, pattern = locations.split_pattern(source)
    is_folder = not pattern and not (len(files) == 1 and folder.address == _address(source, files[0]))
    if is_folder and wanted.within(folder.address):
        raise InvalidPath(f"the output {target} is inside the input {source}", remedy="choose another output")


def _address(source: Location, file: SourceFile) -> object:
    return (Location("file", file.location) if source.is_local else locations.parse(file.location)).address


def _files_of(target: Location) -> Iterator[Path]:
    """Yield the files that the output has already."""
    if target.is_local:
        path = Path(target.path)
        if path.is_file():
            yield path
        for folder, _, names in os.walk(path):
            yield from (Path(folder) / name for name in names)


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what is equal for all links to a file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
