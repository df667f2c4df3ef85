"""The cold start of the model function: the time from process start to first response, and the slowest imports.

`python -m loadtest.coldstart`; exit status 1 if the function does not answer, or imports a forbidden module before
that.
"""

from __future__ import annotations

import argparse
import http.client
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from statistics import median

from common.errors import TidegateError

FUNCTION = "functions.flights"
PATH = "/v2/models/flights/infer"
# Each takes longer to import than all modules that a prediction needs.
FORBIDDEN = frozenset(
    {
        "aiohttp",
        "fastapi",
        "fsspec",
        "kubernetes",
        "lightgbm",
        "numpy",
        "opentelemetry",
        "pandas",
        "prometheus_client",
        "pyarrow",
        "pydantic",
        "scipy",
        "starlette",
        "xgboost",
    }
)
_START_SECONDS = 60.0
_IMPORT_TIME = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \|( *)(\S+)$", re.MULTILINE)


class NoAnswer(TidegateError):
    """The function ended, or did not answer in time."""


@dataclass(frozen=True, slots=True)
class Import:
    """The import of a module, in milliseconds: `own` without, `total` with the modules that it imports."""

    module: str
    own: float
    total: float


def parse(importtime: str) -> list[Import]:
    """Parse the output of `python -X importtime`, in the order in which imports end."""
    return [Import(name, int(own) / 1000, int(total) / 1000) for own, total, _, name in _IMPORT_TIME.findall(importtime)]


def forbidden(imports: Sequence[Import]) -> list[str]:
    return sorted({item.module.partition(".")[0] for item in imports} & FORBIDDEN)


def measure(model: Path, *options: str) -> tuple[float, str]:
    """Return the milliseconds from process start to first response, and the standard error so far. Raises NoAnswer."""
    body = files("loadtest").joinpath("scenarios/flights.json").read_bytes()
    port = free_port()
    environ = os.environ | {"TIDEGATE_MODEL": str(model), "PORT": str(port)}
    environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an image has compiled bytecode; here the first start writes it
    with tempfile.NamedTemporaryFile() as errors:
        began = time.perf_counter()
        with subprocess.Popen([sys.executable, *options, "-m", FUNCTION], env=environ, stdout=errors, stderr=errors) as process:  # noqa: S603
            try:
                answered = first_answer(process, port, body, {"Content-Type": "application/json"})
                took = 1000 * (time.perf_counter() - began)
                written = Path(errors.name).read_text("utf-8", "replace")
            finally:
                process.terminate()
        if not answered:
            lines = Path(errors.name).read_text("utf-8", "replace").strip().splitlines()
            raise NoAnswer(f"{FUNCTION} did not answer with status 200: {lines[-1].rstrip('.') if lines else 'no output'}.")
    return took, written


def first_answer(process: subprocess.Popen[bytes], port: int, body: bytes, headers: Mapping[str, str]) -> bool:
    """Call the function until it answers; return whether the status was 200."""
    deadline = time.perf_counter() + _START_SECONDS
    while process.poll() is None and time.perf_counter() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("POST", PATH, body, dict(headers))
            return connection.getresponse().status == http.client.OK
        except OSError:
            time.sleep(0.002)
        finally:
            connection.close()
    return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m loadtest.coldstart", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--model", type=Path, default=Path("functions/flights/models/v1"), help="folder with model.yaml (default: %(default)s)"
    )
    parser.add_argument("--runs", type=int, default=15, help="starts to measure (default: %(default)s)")
    parser.add_argument("--slowest", type=int, default=15, help="imports to list (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        measure(options.model)  # fills the file cache and writes the bytecode
        times = sorted(measure(options.model)[0] for _ in range(max(options.runs, 1)))
        imports = parse(measure(options.model, "-X", "importtime")[1])
    except TidegateError as error:
        print(f"coldstart: {error}", file=sys.stderr)
        return 1
    print(
        f"process start to first response, {len(times)} starts:"
        f" median {median(times):.0f} ms, min {times[0]:.0f} ms, max {times[-1]:.0f} ms"
    )
    print(f"\n{len(imports)} imports before that; the slowest:\n    own ms   total ms  module")
    for item in sorted(imports, key=lambda item: -item.own)[: options.slowest]:
        print(f"  {item.own:8.1f}   {item.total:8.1f}  {item.module}")
    unwanted = forbidden(imports)
    if unwanted:
        print(
            f"\ncoldstart: {FUNCTION} imports {', '.join(unwanted)} before its first response; import them after readiness, or not at all.",
            file=sys.stderr,
        )
    return 1 if unwanted else 0


if __name__ == "__main__":
    sys.exit(main())
