from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

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
