from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
Tidegate = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def tidegate() -> Tidegate:
    """Run the command `tidegate` in the project's folder, as another process."""

    def call(*arguments: str, timeout: float = 300, cwd: Path = ROOT, **environ: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tidegate", *arguments]
        return subprocess.run(command, cwd=cwd, env={**os.environ, **environ}, capture_output=True, text=True, timeout=timeout, check=False)

    return call
