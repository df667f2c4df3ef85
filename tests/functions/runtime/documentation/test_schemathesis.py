from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.parametrize("paths", ["--exclude-path-regex", "--include-path-regex"])
def test_function_conforms_to_its_document(paths: str, model: Path, start_function: Callable[..., str], tmp_path: Path) -> None:
    """Run the operations that unload the model separately from all others."""
    url = start_function(model, TIDEGATE_MODEL_CONTROL="true")
    command: list[str | Path] = [
        Path(sys.executable).parent / "st",
        "--config-file",
        HERE / "schemathesis.toml",
        "run",
        f"{url}/openapi.json",
        paths,
        "/unload$",
    ]
    environ = {**os.environ, "SCHEMATHESIS_HOOKS": str(HERE / "schemathesis_hooks.py")}
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr
    assert "No issues found" in done.stdout
