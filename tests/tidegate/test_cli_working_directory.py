"""A command imports no module of the working directory, except those that a card names."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xgboost as xgb

from functions.runtime.artifacts import modules

TIDEGATE = Path(sys.executable).parent / "tidegate"
# Names of the standard library, of packages, of one that may not be installed, and of the project's own packages.
TRAPS = ("resource", "orjson", "lightgbm", "uvicorn", "kafka", "pyarrow", "xgboost")
PACKAGES = ("functions", "common", "eventing", "tidegate", "functions/runtime", "functions/runtime/models")
RUNTIME = """
    from array import array
    from functions.runtime.contract.signature import Prediction, Signature
    class Model:
        signature = Signature(width=1, features=("x",))
        def predict(self, values, rows, kind="value"):
            return Prediction(array("f", [7.0] * rows), ())
    def load(path):
        return Model()
"""
CARD = "name: mine\nruntime: mine_runtime\nartifact: {uri: m.bin}\ninputs: [{name: x, datatype: FP32}]\noutputs: [{name: y}]\n"


@pytest.fixture
def trapped(tmp_path: Path) -> Path:
    """A folder with a bare model, and with modules that write a file when they are imported."""
    trap = "open({}, 'w')\n"
    for name in TRAPS:
        (tmp_path / f"{name}.py").write_text(trap.format(repr(str(tmp_path / f"executed-{name}"))))
    for name in PACKAGES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(trap.format(repr(str(tmp_path / f"executed-{name.replace('/', '.')}"))))
    rows = np.random.default_rng(0).random((50, 2))
    xgb.train({"max_depth": 2}, xgb.DMatrix(rows, rows[:, 0], feature_names=["a", "b"]), 3).save_model(tmp_path / "bare.ubj")
    return tmp_path


def executed(folder: Path) -> list[str]:
    return [path.name for path in folder.glob("executed-*")]


@contextmanager
def serving(path: str, folder: Path) -> Iterator[str]:
    """The address that `tidegate serve` prints."""
    command = [str(TIDEGATE), "serve", path, "--port", "0"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        first = process.stdout.readline()
        assert first, process.stderr.read()
        yield first.partition(" at ")[2].partition("/v2")[0]
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)


def curl(url: str, body: str | None = None) -> str:
    command = ["curl", "-sS", url, *(["-d", body] if body else [])]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_serving_a_bare_model_imports_nothing_beside_it(trapped: Path) -> None:
    with serving("bare.ubj", trapped) as url:
        assert "predictions" in curl(f"{url}/v1/models/bare:predict", '{"instances": [{"a": 0.5, "b": 0.5}]}')
        assert "openapi" in curl(f"{url}/openapi.json")
        assert "tidegate_" in curl(f"{url}/metrics")
    assert executed(trapped) == []


def test_module_that_a_card_names_is_found_last(trapped: Path) -> None:
    (trapped / "card").mkdir()
    (trapped / "card/model.yaml").write_text(CARD)
    (trapped / "card/m.bin").write_text("anything")
    (trapped / "mine_runtime.py").write_text(textwrap.dedent(RUNTIME))
    with serving("card", trapped) as url:
        assert json.loads(curl(f"{url}/v1/models/mine:predict", '{"instances": [{"x": 0.5}]}')) == {"predictions": [7.0]}
    assert executed(trapped) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("batch", "in.parquet", "out.parquet", "--model", "m", "--url", "http://127.0.0.1:1"),
        ("publish", "topic", "rows.csv", "--bootstrap-servers", "127.0.0.1:1"),
        ("tail", "topic", "--bootstrap-servers", "127.0.0.1:1"),
        ("status",),
        ("doctor",),
        ("init", "parcels"),
        ("serve", "nowhere.txt"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_other_commands_import_nothing_from_the_folder(arguments: tuple[str, ...], trapped: Path) -> None:
    pq.write_table(pa.table({"a": [1.0]}), trapped / "in.parquet")
    (trapped / "rows.csv").write_text("a\n1\n")
    environ = {**os.environ, "TIDEGATE_BATCH_RETRY_SECONDS": "0.1"}
    subprocess.run([str(TIDEGATE), *arguments], cwd=trapped, env=environ, capture_output=True, timeout=120, check=False)
    assert executed(trapped) == []


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[str]]:
    monkeypatch.setattr(modules, "_folders", [])
    monkeypatch.setattr(sys, "path", ["/first", ""])

    def searched(folder: str) -> list[str]:
        modules.offer(folder)
        modules.search()
        return sys.path

    return searched


def test_offered_folder_is_last_and_listed_once(offered: Callable[[str], list[str]]) -> None:
    assert offered("/project") == ["/first", "", "/project"]
    assert offered("/project") == ["/first", "", "/project"]
    assert offered("/first") == ["/first", "", "/project"]
    assert modules.environment()["PYTHONPATH"] == os.pathsep.join(["/first", "/project"])
