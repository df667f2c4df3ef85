from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pytest
import xgboost as xgb

ROOT = Path(__file__).parents[4]
FILES = {"model.ubj": "xgboost", "model.json": "xgboost", "model.txt": "lightgbm"}
ALONE, WHOLE = range(28), range(28, 42)  # seeds: 42 for each file, 126 in all
# Load each path as a function does at its start, and print the outcome.
START = """
import json, sys
from pathlib import Path
from functions.runtime.artifacts import loading
from functions.runtime.errors import InvalidModel
for path in map(Path, sys.argv[1:]):
    try:
        loading.load(path)
        print(json.dumps([path.name, None]), flush=True)
    except InvalidModel as error:
        print(json.dumps([path.name, str(error)]), flush=True)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model in each format."""
    folder = tmp_path_factory.mktemp("models")
    features = np.random.default_rng(0).random((300, 4), dtype=np.float32)
    target = features[:, 0] + features[:, 1] > 1
    names = ["a", "b", "c", "d"]
    booster = xgb.train({"objective": "binary:logistic", "max_depth": 3}, xgb.DMatrix(features, target, feature_names=names), 4)
    booster.save_model(folder / "model.ubj")
    booster.save_model(folder / "model.json")
    parameters = {"objective": "binary", "num_leaves": 7, "verbose": -1, "num_threads": 1}
    lgb.train(parameters, lgb.Dataset(features, target, feature_name=names), 4).save_model(folder / "model.txt")
    return folder


def mutant(folder: Path, name: str, seed: int) -> Path:
    """A damaged copy: bytes changed, the end cut off, a part inserted, or other digits, which every parser accepts."""
    chance = random.Random(seed)  # noqa: S311 to find faults, not to hide anything
    data = bytearray((folder / name).read_bytes())
    kind = seed % 4
    if kind == 0:
        for _ in range(chance.choice((1, 4, 16))):
            data[chance.randrange(len(data))] = chance.randrange(256)
    elif kind == 1:
        del data[chance.randrange(len(data)) :]
    elif kind == 2:
        start, at = chance.randrange(len(data)), chance.randrange(len(data))
        data[at:at] = data[start : start + 200]
    else:
        digits = [found.start() for found in re.finditer(rb"\d", data)]
        for place in chance.sample(digits, 4):
            data[place] = ord("0") + chance.randrange(10)
    path = folder / f"{seed}-{name}"
    path.write_bytes(data)
    return path


def run(seconds: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with a limit of CPU time, its children too: the trees of some mutants have a cycle."""
    command = ["bash", "-c", f'ulimit -t {seconds}; exec "$@"', "-", sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace", check=False)


def try_load(name: str, path: Path) -> subprocess.CompletedProcess[str]:
    return run(2, "-m", "functions.runtime.runtimes.try_load", name, str(path))


@pytest.mark.parametrize("name", FILES)
def test_a_model_is_accepted_and_another_file_is_refused(name: str, folder: Path) -> None:
    assert try_load(FILES[name], folder / name).returncode == 0
    (folder / f"none-{name}").write_text("hello")
    done = try_load(FILES[name], folder / f"none-{name}")
    assert done.returncode == 1
    assert f"none-{name} is not a" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("return bytearray(6 << 30)", "needs more memory than a model of its size should"),
        ("raise InvalidModel(f'{path} has {resource.getrlimit(resource.RLIMIT_CPU)[0]} s.')", "has 60 s."),
        ("raise InvalidModel(f'{path} leaves a core of {resource.getrlimit(resource.RLIMIT_CORE)[0]}.')", "leaves a core of 0."),
        ("raise InvalidModel(f'{path} is\\nbroken.')", "is broken."),
    ],
)
def test_a_user_s_runtime_is_limited_too(body: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["import resource", "from functions.runtime.errors import InvalidModel", "def load(path):", f"    {body}"]
    (tmp_path / "own_runtime.py").write_text("\n".join(lines))
    (tmp_path / "model.bin").write_bytes(b"1")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    done = run(90, "-m", "functions.runtime.runtimes.try_load", "own_runtime", str(tmp_path / "model.bin"))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"{tmp_path / 'model.bin'} {sentence}")


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_model_ends_the_child_process_only(name: str, folder: Path) -> None:
    with ThreadPoolExecutor(2) as two:
        paths = [mutant(folder, name, seed) for seed in ALONE]
        done = list(two.map(lambda path: try_load(FILES[name], path), paths))
    for path, found in zip(paths, done, strict=True):
        assert found.returncode <= 1
        if found.returncode == 1:
            assert str(path) in found.stderr.splitlines()[-1]
            assert "Traceback" not in found.stderr
    assert {found.returncode for found in done} != {0}


@pytest.mark.parametrize("name", FILES)
def test_a_start_with_a_damaged_model_is_one_sentence(name: str, folder: Path) -> None:
    paths = [mutant(folder, name, seed) for seed in WHOLE]
    done = run(3, "-c", START, *map(str, paths))
    assert done.returncode == 0, done.stderr
    answers = dict(map(json.loads, done.stdout.splitlines()))
    assert list(answers) == [path.name for path in paths]
    sentences = [(file, sentence) for file, sentence in answers.items() if sentence is not None]
    assert sentences
    for file, sentence in sentences:
        assert file in sentence
        assert "\n" not in sentence
