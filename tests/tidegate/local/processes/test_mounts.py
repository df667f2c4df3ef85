"""Files of ConfigMaps for processes that have no mounts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tidegate.local.objects.podspec import PodSpec
from tidegate.local.objects.resources import Metadata
from tidegate.local.objects.validation import parse
from tidegate.local.processes.launcher import Launcher
from tidegate.local.processes.mounts import mounts_of, read, write
from tidegate.local.processes.orphan_reaper import OrphanReaper
from tidegate.local.processes.process import Exit

Object = dict[str, Any]
CONFIG_MAPS = {"settings": {"a.yaml": "a: 1\n", "b.yaml": "b: 2\n"}}
SHOW = """
import os, pathlib, sys
print(*(pathlib.Path(path).read_text().strip() for path in (os.environ["FILE"], *sys.argv[1:])), os.environ["OTHER"])
"""


def pod(mount: Object, config_map: Object, file: str, *arguments: str) -> PodSpec:
    env = [{"name": "FILE", "value": file}, {"name": "OTHER", "value": "/etc/apps/a.yaml"}]
    container = {"command": ["python", "-c", SHOW, *arguments], "env": env, "volumeMounts": [{"name": "v", **mount}]}
    return parse(PodSpec, {"containers": [container], "volumes": [{"name": "v", "configMap": config_map}]})


@pytest.mark.parametrize(
    ("spec", "shown"),
    [
        (pod({"mountPath": "/etc/app"}, {"name": "settings"}, "/etc/app/a.yaml", "/etc/app/b.yaml"), "a: 1 b: 2"),
        (pod({"mountPath": "/etc/app/"}, {"name": "settings", "items": [{"key": "b.yaml", "path": "c"}]}, "/etc/app/c"), "b: 2"),
        (pod({"mountPath": "/etc/app.yaml", "subPath": "a.yaml"}, {"name": "settings"}, "/etc/app.yaml"), "a: 1"),
    ],
    ids=["folder", "items", "one file"],
)
async def test_process_reads_a_file_of_a_config_map(spec: PodSpec, shown: str, tmp_path: Path) -> None:
    with OrphanReaper() as reaper:
        launcher = Launcher(root=tmp_path, logs=tmp_path / "log", mounts=tmp_path / "mounts", reaper=reaper, config_maps=CONFIG_MAPS)
        process = launcher.start(spec, name="app-1", metadata=parse(Metadata, {}), variables={})
        assert await process.exited == Exit(0), process.last_line()
    # A path that only begins alike is another one.
    assert (tmp_path / "log/app-1.log").read_text() == f"{shown} /etc/apps/a.yaml\n"


@pytest.mark.parametrize(
    ("mount", "path", "text"),
    [
        ({"mountPath": "/etc/app"}, "/etc/app/a.yaml", "a: 1\n"),
        ({"mountPath": "/etc/app"}, "/etc/app/c.yaml", None),
        ({"mountPath": "/etc/app"}, "/etc/a.yaml", None),
        ({"mountPath": "/etc/app.yaml", "subPath": "b.yaml"}, "/etc/app.yaml", "b: 2\n"),
    ],
)
def test_file_is_found_by_its_path(mount: Object, path: str, text: str | None) -> None:
    assert read(mounts_of(pod(mount, {"name": "settings"}, path), CONFIG_MAPS), path) == text


def test_config_map_that_is_not_there_is_left_out() -> None:
    assert mounts_of(pod({"mountPath": "/etc/app"}, {"name": "others"}, "/etc/app/a"), CONFIG_MAPS) == []


def test_no_file_is_written_outside_of_the_folder(tmp_path: Path) -> None:
    maps = {"settings": {"ok": "fine", "../outside": "text", "..": "text"}}
    write(mounts_of(pod({"mountPath": "/etc/app"}, {"name": "settings"}, "/etc/app/ok"), maps), tmp_path / "mounts")
    assert [file.name for file in tmp_path.rglob("*") if file.is_file()] == ["ok"]
