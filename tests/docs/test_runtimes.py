"""The page's example is written to files as a reader would, and served."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from array import array
from pathlib import Path

import pytest

from functions.runtime.artifacts import loading
from functions.runtime.contract.card import load as load_card
from functions.runtime.errors import InvalidModel
from functions.runtime.runtimes import BUILT_IN

PAGE = (Path(__file__).parents[2] / "docs/runtimes.md").read_text("utf-8")


def block(kind: str) -> str:
    (found,) = re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "linear_runtime.py").write_text(block("python"))
    (tmp_path / "price.json").write_text(block("json"))
    (tmp_path / "model.yaml").write_text(block("yaml"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "linear_runtime", raising=False)
    return tmp_path


def test_example_predicts(project: Path) -> None:
    loaded = loading.load(project / "model.yaml")
    assert loaded.model.signature.features == ("area", "rooms", "age")
    values, shape = loaded.model.predict(array("d", [82.5, 3, 20, 0, 0, 0]), 2)
    assert (values, shape) == (array("d", [266_250.0, 40_000.0]), ())


def test_invalid_artifact_is_one_sentence(project: Path) -> None:
    (project / "price.json").write_text('{"coefficients": {"area": "much"}, "intercept": 0}')
    with pytest.raises(InvalidModel, match=r"price\.json is no linear model.*; write coefficients by feature, and an intercept\.$"):
        loading.load(project / "model.yaml")


def test_example_is_served_by_the_documented_command(project: Path) -> None:
    command = block("sh").split()
    assert command[0] == "tidegate"
    environ = {**os.environ, "PYTHONUNBUFFERED": "1"}
    row = load_card(project / "model.yaml").example
    with subprocess.Popen(
        [sys.executable, "-m", *command, "--port", "0"], env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        assert server.stderr is not None
        try:
            greeting = server.stdout.readline()
            found = re.search(r"at (http://\S+)/v2/models/price", greeting)
            assert found, greeting + server.stderr.read()
            body = json.dumps({"instances": [row]}).encode()
            request = urllib.request.Request(f"{found[1]}/v1/models/price:predict", body, {"content-type": "application/json"})
            with urllib.request.urlopen(request, timeout=30) as answer:
                assert json.load(answer) == {"predictions": [266_250.0]}
        finally:
            server.terminate()


def test_page_lists_every_runtime() -> None:
    ours = PAGE.partition("\n## Your own runtime\n")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", ours, re.MULTILINE)) == {"runtime", *BUILT_IN}  # the first is the table's head
