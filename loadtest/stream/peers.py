"""The environments of the peers: Python packages by pip, and the connector that Flink needs by Maven; each once."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from loadtest.compare.environments import NotInstalled, environment, versions

_MODEL_PACKAGES = ("orjson", "pyyaml", "xgboost-cpu")
QUIX, FLINK = "quix", "flink"
# A connector is released after the Flink that it is for; it runs with the next one, too.
CONNECTOR = "org.apache.flink:flink-sql-connector-kafka:5.0.0-2.2"
_PACKAGES = {QUIX: ("quixstreams", *_MODEL_PACKAGES), FLINK: ("apache-flink", *_MODEL_PACKAGES)}
_NEEDED = {QUIX: (), FLINK: ("java", "mvn")}
_NAMES = {QUIX: "quixstreams", FLINK: "apache-flink"}


def python_of(peer: str | None, folder: Path) -> str:
    """Return the Python of a peer's environment in a folder; without a peer, this one. Raises NotInstalled."""
    if peer is None:
        return sys.executable
    for program in _NEEDED[peer]:
        if shutil.which(program) is None:
            raise NotInstalled(f"{peer} needs {program}, which is not on the PATH.")
    python = environment(folder / peer, _PACKAGES[peer])
    if peer == FLINK and not jars_of(str(python)).exists():
        _copy(CONNECTOR, jars_of(str(python)))
    return str(python)


def version_of(peer: str, python: str) -> str:
    """Return the name and version of an installed peer."""
    return " ".join(part for pair in versions(Path(python), (_NAMES[peer],)).items() for part in pair)


def jars_of(python: str) -> Path:
    """Return the folder of the jars beside an environment's Python."""
    return Path(python).parents[1] / "jars"


def _copy(artifact: str, folder: Path) -> None:
    # Complete or not at all.
    half = folder.with_name(f"{folder.name}.half")
    shutil.rmtree(half, ignore_errors=True)
    command = ["mvn", "-q", "-B", "dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={half}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise NotInstalled(f"Maven cannot fetch {artifact}: {done.stdout.strip()[:500]}")
    half.rename(folder)
