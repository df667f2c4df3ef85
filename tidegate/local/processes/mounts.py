"""Files of ConfigMaps: a process has no mounts of its own, so the files lie in a folder, and their paths are replaced."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tidegate.local.objects.podspec import PodSpec

ConfigMaps = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Mount:
    """The files that a container finds at `path`, by their names; with `file`, that one alone is the path."""

    path: str
    files: Mapping[str, str]
    file: str = ""


def mounts_of(spec: PodSpec, config_maps: ConfigMaps) -> list[Mount]:
    """Return the ConfigMaps that the container of a pod mounts; one that is not there is left out."""
    found = []
    volumes = {volume.name: volume.config_map for volume in spec.volumes if isinstance(volume.config_map, dict)}
    for mount in spec.containers[0].volume_mounts:
        volume = volumes.get(mount.name)
        data = None if volume is None else config_maps.get(str(volume.get("name")))
        if volume is not None and data is not None:
            found.append(Mount(mount.mount_path.rstrip("/"), _items(volume.get("items"), data), mount.sub_path or ""))
    return found


def read(found: list[Mount], path: str) -> str | None:
    """Return the text of a file in these mounts; None if it is in none."""
    for mount in found:
        name = mount.file if mount.file and path == mount.path else path.removeprefix(f"{mount.path}/")
        if name in mount.files:
            return mount.files[name]
    return None


def write(found: list[Mount], folder: Path) -> Callable[[str], str]:
    """Write the files below a folder, and return what replaces a path in a mount by that of its file.

    Raises OSError.
    """
    places: dict[str, Path] = {}
    for number, mount in enumerate(found):
        place = folder / str(number)
        for name, text in mount.files.items():
            if "/" not in name and name not in {"", ".", ".."}:  # as the API demands of a key
                place.mkdir(mode=0o700, parents=True, exist_ok=True)
                (place / name).write_text(text, "utf-8")
        places[mount.path] = place / mount.file if mount.file else place

    def replaced(value: str) -> str:
        for path, place in places.items():
            if value == path or value.startswith(f"{path}/"):
                return str(place) + value.removeprefix(path)
        return value

    return replaced


def _items(items: object, data: Mapping[str, str]) -> Mapping[str, str]:
    if not isinstance(items, list):
        return data
    return {str(item["path"]): data[item["key"]] for item in items if item.get("key") in data and "path" in item}
