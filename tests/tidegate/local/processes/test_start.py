"""Imports of a function in the folder where `tidegate up` starts it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from tidegate.local.up import Up

Running = Callable[..., AbstractAsyncContextManager[Up]]
PROBE = """
import json, os, pathlib, sys
import orjson, resource, beside, eventing
from functions.probe import other
found = {"orjson": orjson.__file__, "resource": resource.__file__, "beside": beside.__file__, "other": other.__file__}
found |= {"eventing": eventing.__file__, "main": __name__, "argv": sys.argv[1:]}
pathlib.Path("half").write_text(json.dumps(found))
os.rename("half", "found")
"""


async def test_only_project_packages_are_imported_from_the_folder(running: Running, root: Path, until: Callable[..., Any]) -> None:
    (root / "functions/probe").mkdir(parents=True)
    for name in ("functions/__init__.py", "functions/probe/__init__.py", "functions/probe/other.py", "beside.py"):
        (root / name).touch()
    (root / "functions/probe/__main__.py").write_text(PROBE)
    for name in ("orjson", "resource", "runpy", "json"):
        (root / f"{name}.py").write_text("raise SystemExit('executed')")
    container = {"image": "registry/probe:1", "args": ["--x", "y"]}
    template = {"metadata": {"annotations": {"autoscaling.knative.dev/min-scale": "1"}}, "spec": {"containers": [container]}}
    service = {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": {"name": "probe"}, "spec": {"template": template}}
    async with running(service):
        await until((root / "found").exists)
    found = json.loads(await asyncio.to_thread((root / "found").read_text))
    assert (found["main"], found["argv"]) == ("__main__", ["--x", "y"])
    here = {name for name in ("orjson", "resource", "beside", "other", "eventing") if found[name].startswith(str(root))}
    assert here == {"beside", "other"}
