"""From a location to the files of a dataset: a file, a folder, or a pattern."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from functions.batch.errors import InvalidDataset, InvalidPath
from functions.batch.storage import formats, globs, locations
from functions.batch.storage.formats import Format
from functions.batch.storage.locations import Location
from functions.batch.storage.policy import Policy
from functions.batch.storage.stores import Found, Store

# Files of one dataset: more would take longer to list than to score, and their names are held in memory.
MAX_FILES = 100_000


def files_at(location: Location, store: Store, policy: Policy, wanted: str | None) -> tuple[list[Found], Format]:
    """Return the files at a location in order of their names, and their format.

    Hidden files are left out of folders and patterns. Raises InvalidPath and InvalidDataset.
    """
    policy.check(location)
    single = store.stat(location)
    if single is not None:
        return [single], formats.required(location.name, wanted)
    folder, pattern = locations.split_pattern(location)
    policy.check(folder)
    found = _limited(store.walk(folder), location)
    if pattern:
        matches = globs.matcher(pattern)
        found = [file for file in found if matches(file.name)]
        if not found:
            raise InvalidPath(f"no file matches {location}", remedy="check the pattern")
    visible = [file for file in found if not globs.is_hidden(file.name)]
    return _of_one_format(sorted(visible, key=lambda file: file.name), location, wanted)


def _limited(files: Iterable[Found], location: Location) -> list[Found]:
    found: list[Found] = []
    for file in files:
        found.append(file)
        if len(found) > MAX_FILES:
            raise InvalidDataset(f"{location} has more than {MAX_FILES:,} files", remedy="name a part of it by a pattern")
    return found


def _of_one_format(files: list[Found], location: Location, wanted: str | None) -> tuple[list[Found], Format]:
    """Return the files of the wanted format, or of the only one that is there."""
    by_name = [(file, formats.format_of(file.name)) for file in files]
    if wanted is not None:
        chosen = [file for file, found in by_name if found is None or found.name == formats.named(wanted)]
    else:
        kinds = sorted({found.name for _, found in by_name if found is not None})
        if len(kinds) > 1:
            raise InvalidDataset(f"{location} has files of the formats {' and '.join(kinds)}", remedy="name the format")
        chosen = [file for file, found in by_name if found is not None]
    if not chosen:
        raise InvalidDataset(f"{location} has no files of a known format", remedy=f"use one of {', '.join(formats.FORMATS)}")
    return chosen, formats.required(chosen[0].name, wanted)


def renamed(file: Found, name: str) -> Found:
    """Return a file under another name."""
    return replace(file, name=name)
