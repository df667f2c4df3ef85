"""The interpreter, the packages of the workbench, and the tools that a cluster needs."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib import metadata

from functions.runtime.runtimes.shared_library import library
from tidegate.doctor.finding import Finding, Findings, error, note, ok

# pyproject.toml, requires-python.
OLDEST_PYTHON = (3, 11)
_INSTALL = "pip install -e '.[workbench]'"
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?(?:>=([\w.]+))?")
_PLATFORM = re.compile(r"sys_platform (==|!=) ['\"](\w+)['\"]")
# Packages whose module has another name.
_MODULES = {
    "confluent-kafka": "confluent_kafka",
    "fastapi-offline": "fastapi_offline",
    "kafka-python": "kafka",
    "prometheus-client": "prometheus_client",
    "protobuf": "google.protobuf",
    "pysimdjson": "simdjson",
    "pyyaml": "yaml",
}
# Their library is loaded without the package, which would cost a second (functions.runtime.runtimes.xgboost).
_LIBRARIES = {"xgboost", "xgboost-cpu"}
_TOOLS = (
    (
        ("kubectl",),
        ("version", "--client"),
        "it deploys to a cluster and renders overlays: https://kubernetes.io/docs/tasks/tools/",
    ),
    (("skaffold",), ("version",), "it builds and deploys to a cluster in one step: https://skaffold.dev/docs/install/"),
    (("docker", "buildah"), ("--version",), "one of them builds the images of a cluster: https://docs.docker.com/engine/install/"),
)
_TOOL_SECONDS = 5.0


def check_python(version: tuple[int, ...] = sys.version_info[:3]) -> Finding:
    """Check the interpreter's version."""
    running, oldest = ".".join(map(str, version)), ".".join(map(str, OLDEST_PYTHON))
    if version[:2] < OLDEST_PYTHON:
        remedy = f"install Python {oldest}, then: make PYTHON=python{oldest} demo"
        return error("Python", f"is {running}; {oldest} or newer is needed.", remedy)
    return ok("Python", running)


def check_packages(requirements: Sequence[str] | None = None) -> Findings[None]:
    """Check that packages are installed, new enough and importable; by default those of the extra `workbench`."""
    required = _workbench() if requirements is None else list(requirements)
    broken = [problem for requirement in required if (problem := _problem(requirement))]
    for name, reason in broken:
        yield error("packages", f"{name} {reason}", _INSTALL)
    if not broken:
        yield ok("packages", f"all {len(required)} of the workbench are installed and can be imported")


def _workbench() -> list[str]:
    """The requirements of the extra `workbench`, by the installed metadata of the project."""
    try:
        found = metadata.requires("tidegate") or []
    except metadata.PackageNotFoundError:
        return ["tidegate"]
    return [item for item in found if re.search(r"extra == ['\"]workbench['\"]", item) and _is_for_this_platform(item)]


def _is_for_this_platform(requirement: str) -> bool:
    conditions = _PLATFORM.findall(requirement)
    return not conditions or any((sys.platform == name) is (sign == "==") for sign, name in conditions)


def _problem(requirement: str) -> tuple[str, str] | None:
    match = _REQUIREMENT.match(requirement)
    name, least = match.groups() if match else (requirement, None)
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return name, "is not installed."
    if least and _numbers(version) < _numbers(least):
        return name, f"is {version}; {least} or newer is needed."
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _import(name)
    except Exception as failure:  # noqa: BLE001 a package may fail in any way, such as by a missing system library
        return name, f"is installed and cannot be imported: {' '.join(str(failure).split()) or type(failure).__name__}."
    return None


def _import(name: str) -> None:
    if name in _LIBRARIES:
        library("xgboost", "install it again")
        return
    importlib.import_module(_MODULES.get(name, name))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def check_tools(which: Callable[[str], str | None] = shutil.which) -> Findings[None]:
    """Check the tools for a cluster. A missing one is a note, since `tidegate up` needs none of them."""
    for names, arguments, purpose in _TOOLS:
        found = [path for name in names if (path := which(name))]
        if not found:
            yield note(" or ".join(names), f"is not on the PATH; `tidegate up` needs none, but {purpose}")
        for path in found[:1]:
            yield ok(path.rpartition("/")[2], _version(path, arguments))


def _version(path: str, arguments: tuple[str, ...]) -> str:
    try:
        done = subprocess.run([path, *arguments], capture_output=True, text=True, timeout=_TOOL_SECONDS, check=False)  # noqa: S603 fixed words
    except (OSError, subprocess.TimeoutExpired) as failure:
        return f"is at {path}; its version is unknown ({type(failure).__name__})"
    return next(iter((done.stdout or done.stderr).strip().splitlines()), f"is at {path}")
