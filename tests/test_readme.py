"""Every example in the README is run, in its order, by the shell and the Python that a reader would use."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tidegate.cli import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def section(title: str) -> str:
    return README.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def script(title: str, folder: Path) -> str:
    """The examples of a section as one shell script, in a folder of its own and on a port that is free."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    blocks = re.findall(r"```(sh|python)\n(.*?)```", section(title), re.DOTALL)
    assert blocks
    steps = [body if kind == "sh" else f"python - <<'PYTHON'\n{body}PYTHON\n" for kind, body in blocks]
    steps = [step.replace("curl ", "curl -sS --fail-with-body ") for step in steps]
    text = "".join(_wait_after_start(step) for step in steps).replace(":8080", f":{port}").replace(".tidegate/", f"{folder}/")
    return f"set -e -m\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\nexport TIDEGATE_PORT={port}\n{text}wait\n"


def _wait_after_start(step: str) -> str:
    """A reader waits until a server that was started says that it is there; so does the script."""
    if not step.rstrip().endswith("&"):
        return step
    return f"{step}curl -s -o /dev/null --retry 100 --retry-connrefused --retry-delay 1 localhost:8080\n"


def run(text: str, cwd: Path, state: Path) -> str:
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


@pytest.fixture(autouse=True)
def has_curl() -> None:
    if subprocess.run(["bash", "-c", "command -v curl"], capture_output=True, check=False).returncode:
        pytest.skip("curl is not installed: the README's examples use it.")


def test_serve_a_model_of_your_own(tmp_path: Path) -> None:
    printed = run(script("Serve a model of your own", tmp_path), tmp_path, tmp_path)
    assert '"name":"size"' in printed
    assert '"model_name":"price"' in printed
    assert '{"predictions":[' in printed
    assert '"error"' not in printed


def test_a_model_function_of_your_own(tmp_path: Path, flights_models: Path) -> None:
    # It writes into the clone: here into one of its own.
    clone = tmp_path / "clone"
    for part in ("pyproject.toml", "skaffold.yaml", "ARCHITECTURE.md", "common", "eventing", "functions", "training", "manifests"):
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        clone.mkdir(exist_ok=True)
        copy(ROOT / part, clone / part)
    printed = run(script("A model function of your own", tmp_path), clone, tmp_path)
    assert "wrote functions/parcels/train.py" in printed
    assert "mean absolute error" in printed
    assert '{"predictions":[' in printed
    for file in re.findall(r"^\| `([^`]+)` \|", section("A model function of your own"), re.MULTILINE):
        assert (clone / file).exists(), file


def test_everything_on_one_machine(tmp_path: Path, flights_models: Path) -> None:
    printed = run(script("Everything on one machine", tmp_path), ROOT, tmp_path)
    assert '"flights"' in printed
    assert '{"predictions":[' in printed
    assert "ce-causationid: 1" in printed.lower()
    assert "2 events published to flights.departed" in printed
    assert "dev.tidegate.inference.completed" in printed
    assert "carrier is 'ZZ'" in printed
    assert "1 rows scored" in printed
    assert (tmp_path / "scored.parquet").exists()
    assert "Traceback" not in printed


def test_every_command_is_in_the_table() -> None:
    listed = re.findall(r"^\| `tidegate (\w+)", section("Commands"), re.MULTILINE)
    assert listed == [command.name for command in app.registered_commands]


@pytest.mark.parametrize("page", ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"])
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", (ROOT / page).read_text("utf-8")):
        assert (ROOT / target).exists(), target


def test_every_folder_of_a_function_and_every_package_is_in_the_architecture() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    functions = [f"functions/{folder.name}/" for folder in (ROOT / "functions").iterdir() if (folder / "__init__.py").exists()]
    for folder in [*functions, "eventing/", "tidegate/", "manifests/", "loadtest/"]:
        assert f"`{folder}`" in page
