"""The cost of an `app.py`: starts and requests per second of one model without it, with it, and with an API key.

`python -m loadtest.application`; the three are measured in turns, so that a drift of the machine's speed affects all.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from statistics import median

from common.errors import TidegateError
from loadtest.coldstart import PATH, NoAnswer, first_answer, free_port
from loadtest.compare.load import Load, run

_KEY = "a-key-of-more-than-22-characters"
_MAIN = "import sys\n\nfrom functions.runtime.main import main\n\nsys.exit(main(package=__package__))\n"
_APP = "from functions.runtime.fastapi import create_app\n\napp = create_app()\n"
_GUARDED = f"""from fastapi import Depends

from functions.runtime.fastapi import ApiKey, create_app

app = create_app(dependencies=[Depends(ApiKey({{"load": {_KEY!r}}}))])
"""
VARIANTS = {"without": None, "app.py": _APP, "app.py, API key": _GUARDED}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m loadtest.application", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", type=Path, default=Path("functions/flights/models/v1"), help="folder with model.yaml (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each variant (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=3.0, help="seconds of load in a round (default: %(default)s)")
    options = parser.parse_args(arguments)
    figures: dict[str, list[tuple[float, float, float]]] = {name: [] for name in VARIANTS}
    try:
        for number in range(options.rounds):
            for name, app in VARIANTS.items():
                figures[name].append(_round(app, options.model.resolve(), options.seconds))
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
    except TidegateError as error:
        print(f"application: {error}", file=sys.stderr)
        return 1
    print(f"{'':16} start to first response   one row, 8 connections   memory")
    for name, rounds in figures.items():
        start, rate, memory = (median(column) for column in zip(*rounds, strict=True))
        print(f"{name:16} {start:18.0f} ms {rate:16.0f} requests/s {memory:5.0f} MiB")
    return 0


def _round(app: str | None, model: Path, seconds: float) -> tuple[float, float, float]:
    """Return milliseconds to the first response, requests per second, and MiB of memory after them. Raises NoAnswer."""
    body = files("loadtest").joinpath("scenarios/flights.json").read_bytes()
    headers = {"Content-Type": "application/json", "x-api-key": _KEY}
    with _function(app, model) as (process, port):
        began = time.perf_counter()
        if not first_answer(process, port, body, headers):
            raise NoAnswer("the function did not answer with status 200", remedy="see the reason above")
        start = 1000 * (time.perf_counter() - began)
        lines = [f"POST {PATH} HTTP/1.1", "host: localhost", f"content-length: {len(body)}", *(f"{k}: {v}" for k, v in headers.items())]
        found = run(Load(port, ("\r\n".join([*lines, "", ""]).encode() + body,), connections=8, seconds=seconds))
        if found.errors:
            raise NoAnswer(f"{found.errors} of {found.requests + found.errors} requests were not answered with status 200.")
        status = Path(f"/proc/{process.pid}/status").read_text()
    memory = next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS"))
    return start, found.rate, memory


@contextlib.contextmanager
def _function(app: str | None, model: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "measured"
        package.mkdir()
        (package / "__init__.py").touch()
        (package / "__main__.py").write_text(_MAIN)
        if app is not None:
            (package / "app.py").write_text(app)
        port = free_port()
        # The model's transform is a module of the project in the working directory.
        environ = os.environ | {"TIDEGATE_MODEL": str(model), "PORT": str(port), "PYTHONPATH": str(Path.cwd())}
        environ |= {"TIDEGATE_HOST": "127.0.0.1", "TIDEGATE_LOG_LEVEL": "warning"}
        with subprocess.Popen([sys.executable, "-m", "measured"], env=environ, cwd=folder) as process:
            try:
                yield process, port
            finally:
                process.terminate()


if __name__ == "__main__":
    sys.exit(main())
