"""`python -m loadtest.fuzz.models.oracle ROWS.npy`: the library's predictions for model files on standard input.

In a separate process, since a damaged file may end or block it.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

_SECONDS = 20.0
Answers = Mapping[str, list[float]]


class Oracle:
    """The oracle process, which is restarted when it ends."""

    def __init__(self, rows: Path) -> None:
        self._rows = rows
        self._process: subprocess.Popen[str] | None = None

    def ask(self, path: Path, outputs: tuple[str, ...]) -> Answers | None:
        """Return all predictions, flat, by the meaning of the output; None when the library fails or hangs."""
        process = self._process or self._start()
        assert process.stdin  # noqa: S101 for the type checker
        assert process.stdout  # noqa: S101
        try:
            print(json.dumps([str(path), outputs]), file=process.stdin, flush=True)
            ready, _, _ = select.select([process.stdout], [], [], _SECONDS)
            line = process.stdout.readline() if ready else ""
        except BrokenPipeError:
            line = ""
        if not line:
            self.close()
            return None
        found: Answers | None = json.loads(line)
        return found

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", __name__, str(self._rows)]
        self._process = subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        return self._process


def main() -> int:
    rows = np.load(sys.argv[1])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # the libraries write to standard output
    for line in sys.stdin:
        path, outputs = json.loads(line)
        try:
            found = (_lightgbm if path.endswith(".txt") else _xgboost)(path, rows, ["value", *outputs])
        except Exception as error:  # noqa: BLE001 whatever the library raises
            print(error, file=sys.stderr)
            found = None
        print(json.dumps(found), file=answers, flush=True)
    return 0


def _xgboost(path: str, rows: Any, outputs: list[str]) -> Answers:
    import xgboost as xgb

    booster = xgb.Booster({"nthread": 1}, model_file=path)
    best = booster.attr("best_iteration")
    trees = (0, min(int(best) + 1, booster.num_boosted_rounds())) if best is not None else (0, 0)
    matrix = xgb.DMatrix(rows, feature_names=booster.feature_names, feature_types=booster.feature_types, enable_categorical=True)
    options = {"value": {}, "margin": {"output_margin": True}, "contributions": {"pred_contribs": True}, "leaf": {"pred_leaf": True}}
    return {name: _flat(booster.predict(matrix, iteration_range=trees, **options[name])) for name in outputs}


def _lightgbm(path: str, rows: Any, outputs: list[str]) -> Answers:
    import lightgbm as lgb

    predict: Callable[..., Any] = lgb.Booster(model_file=path).predict
    options = {"value": {}, "margin": {"raw_score": True}, "contributions": {"pred_contrib": True}, "leaf": {"pred_leaf": True}}
    return {name: _flat(predict(rows, num_threads=1, **options[name])) for name in outputs}


def _flat(values: Any) -> list[float]:
    flat: list[float] = np.asarray(values, dtype=np.float64).ravel().tolist()
    return flat


if __name__ == "__main__":
    sys.exit(main())
