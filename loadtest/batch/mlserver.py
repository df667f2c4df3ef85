"""MLServer's own batch command, `mlserver infer`, with the same model and rows: from JSON Lines to JSON Lines.

It is installed as `loadtest.compare` installs it. Binary tensors are off, since the server does not take them over
HTTP; its JSON has no NaN, so that missing values are replaced by zeros here. The other settings are the fastest of
those that were tried: 1 to 10 workers, requests of 1,000 to 16,000 rows.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from common.errors import TidegateError
from loadtest.batch.data import NAME
from loadtest.compare.__main__ import CACHE
from loadtest.compare.environments import environment
from loadtest.compare.processes import free_port, running
from loadtest.compare.servers import MLSERVER_PACKAGES, mlserver_environ

TITLE = "mlserver infer"
_LINE_ROWS, _WORKERS, _LINES_AT_ONCE = 1_000, 4, 4
_TOLERANCE = 1e-6
READY = b"GET /v2/health/ready HTTP/1.1\r\nHost: localhost\r\n\r\n"


class PeerFailed(TidegateError):
    """`mlserver infer` failed, or returned other scores than the library."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A running MLServer, and the file of requests."""

    python: Path
    requests: Path
    rows: int
    expected: Any
    port: int

    def rate(self) -> float:
        """Return the rows per second from the start of the command to its end. Raises PeerFailed."""
        output = self.requests.with_suffix(".answers")
        command = [str(self.python.with_name("mlserver")), "infer", "--url", f"127.0.0.1:{self.port}", "--model-name", NAME]
        command += ["--input-data-path", str(self.requests), "--output-data-path", str(output)]
        command += ["--workers", str(_WORKERS), "--batch-size", str(_LINES_AT_ONCE)]
        began = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        seconds = time.perf_counter() - began
        if done.returncode:
            raise PeerFailed(f"mlserver infer: {(done.stderr.strip().splitlines() or ['no output'])[-1]}")
        self._check(output)
        return self.rows / seconds

    def _check(self, output: Path) -> None:
        import numpy as np

        answers = [orjson.loads(line) for line in output.read_bytes().splitlines()]
        failed = next((item["error"] for item in answers if "error" in item), None)
        if failed is not None:
            raise PeerFailed(f"mlserver infer: {failed}")
        ordered = sorted(answers, key=lambda item: item["parameters"]["batch_index"])
        found = np.concatenate([np.asarray(item["outputs"][0]["data"], np.float32) for item in ordered])
        if found.shape != self.expected.shape or not np.allclose(found, self.expected, atol=_TOLERANCE):
            raise PeerFailed("mlserver infer returned other scores than the library.")


@contextmanager
def served(place: Path, source: Path, work: Path, rows: int) -> Iterator[Peer]:
    """Start an MLServer with the model, and yield it with the requests of the first rows. Raises NotInstalled and ServerFailed."""
    python = environment(CACHE / "mlserver", MLSERVER_PACKAGES)
    settings = {"name": NAME, "implementation": "mlserver_xgboost.XGBoostModel", "parameters": {"uri": "./model.ubj"}}
    (place / "model-settings.json").write_bytes(orjson.dumps(settings))
    requests, expected = _requests(place, source, work, rows)
    port = free_port()
    # Its default of a worker process does not start with the uvloop that it installs.
    environ = {**mlserver_environ(port), "MLSERVER_PARALLEL_WORKERS": "0"}
    with running([str(python.with_name("mlserver")), "start", str(place)], environ, port, READY, place.parent / "mlserver.log"):
        yield Peer(python, requests, len(expected), expected, port)


def _requests(place: Path, source: Path, work: Path, rows: int) -> tuple[Path, Any]:
    """Write the requests, one a line; return their file, and the library's scores."""
    import numpy as np
    import pyarrow.parquet as pq
    import xgboost as xgb

    table = next(pq.ParquetFile(source).iter_batches(rows))
    matrix = np.column_stack([column.to_numpy(zero_copy_only=False) for column in table.columns]).astype(np.float32)
    np.nan_to_num(matrix, copy=False)
    path = work / "requests.jsonl"
    with path.open("wb") as file:
        for first in range(0, len(matrix), _LINE_ROWS):
            part = matrix[first : first + _LINE_ROWS]
            tensor = {"name": "input", "datatype": "FP32", "shape": list(part.shape), "data": part.ravel()}
            file.write(orjson.dumps({"inputs": [tensor]}, option=orjson.OPT_SERIALIZE_NUMPY) + b"\n")
    return path, xgb.Booster(model_file=place / "model.ubj").inplace_predict(matrix, validate_features=False)
