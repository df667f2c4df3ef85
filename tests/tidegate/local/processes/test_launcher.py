from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from tidegate.local.errors import StartFailed
from tidegate.local.objects.podspec import PodSpec
from tidegate.local.objects.resources import Metadata
from tidegate.local.objects.validation import parse
from tidegate.local.processes.launcher import Launcher
from tidegate.local.processes.orphan_reaper import OrphanReaper
from tidegate.local.processes.process import Exit
from tidegate.local.up import Up

Object = dict[str, Any]
Make = Callable[..., Object]
Until = Callable[[Callable[[], Any]], Awaitable[None]]
Running = Callable[..., AbstractAsyncContextManager[Up]]


@pytest.mark.parametrize(("own", "known"), [([], "models"), ([{"name": "TIDEGATE_NAMESPACE", "value": "others"}], "others")])
async def test_process_has_its_namespace(own: list[Object], known: str, running: Running, service: Make, root: Path, until: Until) -> None:
    program = "import os, pathlib; pathlib.Path('namespace').write_text(os.environ['TIDEGATE_NAMESPACE'])"
    item = service(command=["python", "-c", program], annotations={"min-scale": "1"})
    item["metadata"]["namespace"] = "models"
    item["spec"]["template"]["spec"]["containers"][0]["env"] += own
    async with running(item):
        await until(lambda: (root / "namespace").exists() and (root / "namespace").read_text() == known)


async def test_variables_of_this_machine_replace_those_of_the_manifest(tmp_path: Path) -> None:
    program = "import os; print(os.environ['A'], os.environ['B'], os.environ['PORT'], os.getcwd())"
    env = [{"name": "A", "value": "manifest"}, {"name": "B", "value": "manifest"}]
    spec = parse(PodSpec, {"containers": [{"image": "hello", "command": ["python", "-c", program], "env": env}]})
    with OrphanReaper() as reaper:
        launcher = Launcher(root=tmp_path, logs=tmp_path / "log", reaper=reaper, common={"B": "machine"})
        process = launcher.start(spec, name="hello-1", metadata=parse(Metadata, {}), variables={"PORT": "8081"})
        assert await process.exited == Exit(0)
    assert (tmp_path / "log/hello-1.log").read_text() == f"manifest machine 8081 {tmp_path}\n"


async def test_values_of_the_manifest_are_rewritten(tmp_path: Path) -> None:
    env = [{"name": "A", "value": "x"}, {"name": "B", "value": "$(A)x"}]
    command = ["python", "-c", "import os; print(os.environ['A'], os.environ['B'], os.environ['C'])"]
    spec = parse(PodSpec, {"containers": [{"command": command, "env": env}]})
    with OrphanReaper() as reaper:
        launcher = Launcher(root=tmp_path, logs=tmp_path / "log", reaper=reaper, rewrite=lambda value: value.replace("x", "y"))
        process = launcher.start(spec, name="hello-1", metadata=parse(Metadata, {}), variables={"C": "x"})
        assert await process.exited == Exit(0)
    assert (tmp_path / "log/hello-1.log").read_text() == "y yy x\n"


async def test_unavailable_variable_is_a_failed_start(tmp_path: Path) -> None:
    secret = {"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
    spec = parse(PodSpec, {"containers": [{"image": "hello", "env": [secret]}]})
    with OrphanReaper() as reaper:
        launcher = Launcher(root=tmp_path, logs=tmp_path, reaper=reaper)
        with pytest.raises(StartFailed, match="the variable A refers to a Secret") as caught:
            launcher.start(spec, name="hello-1", metadata=parse(Metadata, {}), variables={})
    assert caught.value.remedy == "give it a value, or take it from a ConfigMap"
