from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tidegate.local.up import Up

Object = dict[str, Any]
Make = Callable[..., Object]
Running = Callable[..., AbstractAsyncContextManager[Up]]


async def test_kubectl_works_with_the_kubeconfig(running: Running, service: Make) -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not on the PATH: install it.")

    def kubectl(config: Path | str, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        command = ["kubectl", "--kubeconfig", str(config), *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=60)

    async with running(service()) as here:
        config = Path(here.running.kubeconfig)
        made = await asyncio.to_thread(kubectl, config, "apply", "-f", "-", stdin=json.dumps(service("second")))
        assert "service.serving.knative.dev/second created" in made.stdout, made.stderr
        listed = await asyncio.to_thread(kubectl, config, "get", "ksvc", "-o", "name")
        assert listed.stdout.split() == ["service.serving.knative.dev/hello", "service.serving.knative.dev/second"]
        content = yaml.safe_load(await asyncio.to_thread(config.read_text))
        content["clusters"][0]["cluster"]["server"] = here.running.api
        (without := config.with_name("without")).write_text(yaml.safe_dump(content))
        refused = await asyncio.to_thread(kubectl, without, "get", "ksvc")
        assert refused.returncode != 0
