from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import xgboost as xgb

Train = Callable[..., xgb.Booster]


@pytest.fixture(scope="session")
def table() -> tuple[np.ndarray, np.ndarray]:
    """600 rows of 5 features, some missing, and a target between 0 and 1."""
    random = np.random.default_rng(7)
    features = random.random((600, 5), dtype=np.float32)
    target = (features[:, 0] * features[:, 1] + 0.1 * random.random(600)).astype(np.float32)
    features[random.random(features.shape) < 0.05] = np.nan
    return features, np.clip(target, 0, 1)


@pytest.fixture(scope="module")
def start_function() -> Iterator[Callable[..., str]]:
    """Starts `python -m functions.flights` with a model and returns its URL; it is ended, and must end well, at the end."""
    processes: list[subprocess.Popen[str]] = []

    def start(model: Path, **environ: str) -> str:
        process = subprocess.Popen(
            [sys.executable, "-m", "functions.flights"],
            env={**os.environ, "TIDEGATE_MODEL": str(model), "PORT": "0", **environ},
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        assert process.stderr is not None
        said: list[str] = []
        for line in process.stderr:
            said.append(line)
            if found := re.search(r"on port (\d+)", line):
                break
        else:
            pytest.fail("".join(said))
        return f"http://127.0.0.1:{found[1]}"

    yield start
    for process in processes:
        process.terminate()
        assert process.wait(30) == 0
        assert process.stderr is not None
        process.stderr.close()
