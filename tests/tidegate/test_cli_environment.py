"""Unusual terminals, pipes, disks and folders: a command prints one sentence, and no internal error."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import xgboost as xgb

ROOT = Path(__file__).parents[2]
TIDEGATE = f"{sys.executable} -P -m tidegate"
NAMES = ['Ålder 年 "q" \' \\', "income (k€)", "😀"]
CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"
CARD = """
name: price
artifact: {uri: m.ubj}
inputs:
  - {name: a, datatype: INT32, minimum: 18}
  - {name: b, datatype: FP64, minimum: 2.5, maximum: 2.75}
  - {name: c, datatype: BOOL}
outputs: [{name: price}]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a bare model whose input names need Unicode, and a card with bounds."""
    rows = np.random.default_rng(0).random((50, 3))
    for path, names in ((tmp_path / "names.ubj", NAMES), (tmp_path / "card/m.ubj", ["a", "b", "c"])):
        path.parent.mkdir(exist_ok=True)
        xgb.train({"max_depth": 2}, xgb.DMatrix(rows, rows[:, 0], feature_names=names), 3).save_model(path)
    (tmp_path / "card/model.yaml").write_text(CARD)
    return tmp_path


@contextmanager
def greeting(arguments: list[str], cwd: Path, **environ: str) -> Iterator[list[bytes]]:
    command = [*TIDEGATE.split(), "serve", *arguments, "--port", "0"]
    env = {**os.environ, **environ}
    process = subprocess.Popen(command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        lines: list[bytes] = []
        while not lines or b"in a browser" not in lines[-1]:
            lines.append(process.stdout.readline())
            assert lines[-1], process.stderr.read()
        yield lines
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


@pytest.mark.parametrize(
    ("arguments", "environ"),
    [
        (["card"], {}),
        (["card", "--host", "::1"], {}),
        (["names.ubj", "--host", "::"], {}),
        (["names.ubj"], {"PYTHONIOENCODING": "latin-1"}),
        (["names.ubj"], {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),
    ],
    ids=["card", "card-ipv6", "bare-any", "bare-latin-1", "bare-C"],
)
def test_printed_call_works(arguments: list[str], environ: dict[str, str], folder: Path) -> None:
    with greeting(arguments, folder, **environ) as (_, call, _):
        done = subprocess.run(["bash", "-c", call.strip()], capture_output=True, text=True, check=True)
    assert done.stdout.startswith('{"predictions":[')


def test_call_that_the_transform_rejects_is_not_printed(folder: Path) -> None:
    (folder / "mine.py").write_text("def transform(record):\n    return {'a': float(record['when'][:4]), 'b': 1.0, 'c': 1.0}\n")
    (folder / "card/model.yaml").write_text(
        "name: price\nartifact: {uri: m.ubj}\ntransform: mine\nfeatures: [a, b, c]\n"
        "inputs: [{name: when, datatype: BYTES}]\noutputs: [{name: price}]\n"
    )
    with greeting(["card"], folder) as (first, *_):
        assert b"Add an example to its card" in first
    with (folder / "card/model.yaml").open("a") as card:
        card.write("example: {when: '2013-11-01'}\n")
    with greeting(["card"], folder) as (_, call, _):
        assert b"2013-11-01" in call


@pytest.mark.parametrize(
    ("line", "status", "sentence"),
    [
        ("{t} --version >&-", 0, None),
        ("{t} --help | head -1; exit ${{PIPESTATUS[0]}}", 0, "Usage: tidegate"),
        ("{t} --help >/dev/full", 1, "No space left on device; make room"),
        ("{t} nonsense 2>/dev/full", 1, None),
        ("{t} status <&- >&- 2>&-", 1, None),
        ("printf '\\xff' | {t} up -", 1, "standard input is not UTF-8 text"),
        ("{t} up - <&-", 1, "has no manifests"),
        ("mkdir x; cd x; rmdir ../x; {t} up {root}/manifests/base", 1, "the working directory is gone"),
        ("ulimit -n 12; {t} serve card --port 0", 1, "Too many open files; raise the limit of open files"),
        ("{t} serve $'x\\xff.ubj'", 1, "no model at x"),
        ("PYTHONIOENCODING=latin-1 {t} serve 年.ubj", 1, "no model at \\u5e74.ubj"),
        ('echo "$M" | {t} up - --port 0 --state-dir /dev/null/x', 1, "cannot write into /dev/null/x: Not a directory; choose another"),
        ("{t} serve card --host 192.0.2.1", 1, "cannot listen at 192.0.2.1: .* choose an address of this machine (--host)"),
        ("{t} serve card --host nowhere.invalid", 1, "is not an IP address or a known name"),
    ],
)
def test_command_prints_one_sentence(line: str, status: int, sentence: str | None, folder: Path) -> None:
    env = {**os.environ, "M": CONFIG_MAP}
    command = ["bash", "-c", line.format(t=TIDEGATE, root=ROOT)]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, timeout=60, check=False)
    printed = (done.stdout + done.stderr).decode("utf-8", "replace")
    assert done.returncode == status, printed
    for words in ("internal error", "Traceback", "Exception ignored"):
        assert words not in printed
    if sentence is not None:
        for part in sentence.split(" .* "):
            assert part in printed
