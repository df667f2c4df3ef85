"""`python -m <function>` with a module `app`, and with credentials by settings, as a process."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

MAIN = "import sys\n\nfrom functions.runtime.main import main\n\nsys.exit(main(package=__package__))\n"
APP = """from functions.runtime.fastapi import create_app

app = create_app()


@app.get("/own")
async def own() -> str:
    return str(await app.model.predict({"area": 0.5, "rooms": 0.25}))
"""
BODY = json.dumps({"instances": [{"area": 0.5, "rooms": 0.25}]}).encode()
KEY = "k" * 32
Start = Callable[..., str]


@pytest.fixture
def start(models: Path, tmp_path: Path) -> Iterator[Start]:
    """Start a function with an optional `app.py` and settings; returns its URL. It must exit normally at SIGTERM."""
    processes: list[subprocess.Popen[str]] = []

    def started(app: str | None, **environ: str) -> str:
        process = launch(tmp_path, models, app, environ)
        processes.append(process)
        assert process.stderr is not None
        lines: list[str] = []
        while not (found := re.search(r"on port (\d+)", line := process.stderr.readline())):
            assert line, lines
            lines.append(line)
        return f"http://127.0.0.1:{found[1]}"

    yield started
    for process in processes:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
        process.stderr.close()


def launch(folder: Path, models: Path, app: str | None, environ: dict[str, str]) -> subprocess.Popen[str]:
    shop = folder / "shop"
    shop.mkdir()
    (shop / "__init__.py").touch()
    (shop / "__main__.py").write_text(MAIN)
    if app is not None:
        (shop / "app.py").write_text(app)
    known = {"TIDEGATE_MODEL": str(models / "price"), "PORT": "0", "TIDEGATE_HOST": "127.0.0.1"}
    return subprocess.Popen(
        [sys.executable, "-m", "shop"], cwd=folder, env={**os.environ, **known, **environ}, stderr=subprocess.PIPE, text=True
    )


def call(url: str, body: bytes | None = None, **headers: str) -> tuple[int, Any]:
    request = urllib.request.Request(url, body, {name.replace("_", "-"): value for name, value in headers.items()})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_function_with_a_module_app_runs_it(start: Start) -> None:
    url = start(APP)
    status, answer = call(f"{url}/v1/models/price:predict", BODY)
    assert (status, call(f"{url}/own")) == (200, (200, str(answer["predictions"][0])))


def test_function_without_a_module_app_requires_configured_keys(start: Start) -> None:
    url = start(None, TIDEGATE_API_KEYS=f"shop:{KEY}")
    path = f"{url}/v1/models/price:predict"
    assert call(path, BODY)[0] == 401
    assert call(path, BODY, x_api_key="wrong" * 8)[0] == 401
    assert call(path, BODY, x_api_key=KEY)[0] == 200
    assert call(f"{url}/v2/health/ready")[0] == 200
    assert call(f"{url}/openapi.json")[0] == 401


def test_module_with_another_app_fails_at_start(models: Path, tmp_path: Path) -> None:
    process = launch(tmp_path, models, "app = object()\n", {})
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "the module shop.app has no application named app that create_app made" in said


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ({"TIDEGATE_API_KEYS": "tooshort"}, "entry 1 of TIDEGATE_API_KEYS has no unique name"),
        ({"TIDEGATE_JWKS_URL": "https://idp.example.com/keys"}, "TIDEGATE_JWT_ISSUER is not set"),
        ({"TIDEGATE_JWKS_URL": "http://idp/k", "TIDEGATE_JWT_ISSUER": "i", "TIDEGATE_JWT_AUDIENCE": "a"}, "TIDEGATE_JWKS_URL is 'http"),
    ],
)
def test_invalid_credentials_fail_at_start(models: Path, tmp_path: Path, setting: dict[str, str], sentence: str) -> None:
    process = launch(tmp_path, models, None, setting)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"tidegate: {sentence}" in said
    assert "tooshort" not in said
