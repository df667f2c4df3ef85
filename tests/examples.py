"""The examples of a page as a reader would run them: by the shell and by Python, in their order."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# What `tidegate init` and `tidegate up` need of a clone.
_PARTS = ("pyproject.toml", "skaffold.yaml", "ARCHITECTURE.md", "common", "eventing", "functions", "training", "manifests")


def script(page: str, folder: Path) -> str:
    """The examples of a page, or of a section, as one shell script, in a folder of its own and on a port that is free."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    blocks = re.findall(r"```(sh|python)\n(.*?)```", page, re.DOTALL)
    assert blocks
    steps = [body if kind == "sh" else f"python - <<'PYTHON'\n{body}PYTHON\n" for kind, body in blocks]
    steps = [step.replace("curl ", "curl -sS --fail-with-body ") for step in steps]
    text = "".join(_wait_after_start(step) for step in steps).replace(":8080", f":{port}").replace(".tidegate/", f"{folder}/")
    return f"set -e -m\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\nexport TIDEGATE_PORT={port}\n{text}wait\n"


def _wait_after_start(step: str) -> str:
    """A reader waits until a server that was started says that it is there; so does the script."""
    if not step.rstrip().endswith("&"):
        return step
    return f"{step}until curl -s -o /dev/null localhost:8080; do sleep 0.1; done\n"


def run(text: str, cwd: Path, state: Path) -> str:
    """What the script printed, to both of its outputs. Skips the test where curl is missing."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed: the documentation's examples use it.")
    environ = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "TIDEGATE_STATE_DIR": str(state)}
    done = subprocess.run(
        ["timeout", "120", "bash", "-c", text],
        cwd=cwd,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout


def clone(folder: Path) -> Path:
    """A clone for examples that write into one, with the example's trained models if there are any."""
    folder.mkdir()
    for part in (ROOT / name for name in _PARTS if (ROOT / name).exists()):
        copy = shutil.copytree if part.is_dir() else shutil.copy
        copy(part, folder / part.name)
    return folder
