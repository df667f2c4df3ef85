"""Virtual environments of the compared servers, created once and reused."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import orjson

from common.errors import TidegateError

_MARK = "installed.json"
_VERSIONS = "import importlib.metadata as m, json; print(json.dumps({d.name: d.version for d in m.distributions()}))"


class NotInstalled(TidegateError):
    """pip could not install a server."""


def environment(folder: Path, packages: tuple[str, ...]) -> Path:
    """Return the Python of an environment with the packages as installed by pip. Raises NotInstalled."""
    python, mark, wanted = folder / "bin" / "python", folder / _MARK, orjson.dumps(packages)
    if not mark.is_file() or mark.read_bytes() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(folder)], packages)
        _run([str(python), "-m", "pip", "install", "--disable-pip-version-check", "--quiet", *packages], packages)
        mark.write_bytes(wanted)
    return python


def versions(python: Path, names: tuple[str, ...]) -> dict[str, str]:
    """Return the versions of the installed ones of these distributions."""
    found = subprocess.run([str(python), "-c", _VERSIONS], capture_output=True, check=True)  # noqa: S603
    installed = {name.lower().replace("_", "-"): version for name, version in orjson.loads(found.stdout).items()}
    return {name: installed[name] for name in names if name in installed}


def _run(command: list[str], packages: tuple[str, ...]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        lines = [line for line in done.stderr.strip().splitlines() if line.startswith("ERROR")] or done.stderr.strip().splitlines()
        raise NotInstalled(f"cannot install {' '.join(packages)}: {lines[-1].rstrip('.') if lines else 'no output'}.")
