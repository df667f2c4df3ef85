"""Kustomizations: which need no tool, and what kustomize makes of the others."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from common.errors import TidegateError

_NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
# `configurations` only tells which fields belong together when something else is changed.
_LISTING = {"apiVersion", "kind", "metadata", "resources", "configurations"}
_COMMANDS = (("kustomize", "build"), ("kubectl", "kustomize"))


class KustomizeFailed(TidegateError):
    """There is no kustomize here, or it refuses."""


def file_of(folder: Path) -> Path | None:
    """The folder's kustomization, if it has one."""
    return next((folder / name for name in _NAMES if (folder / name).is_file()), None)


def lists_only(content: dict[str, Any]) -> bool:
    """Whether a kustomization does no more than name resources on this machine."""
    return not set(content) - _LISTING and not any("://" in str(resource) for resource in content.get("resources") or [])


def build(folder: Path) -> str:
    """What kustomize makes of a folder, as YAML. Raises KustomizeFailed."""
    command = next((command for command in _COMMANDS if shutil.which(command[0])), None)
    if command is None:
        raise KustomizeFailed(
            f"{folder} changes objects, which only kustomize can do, and neither it nor kubectl is on the PATH; install kubectl."
        )
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False)  # noqa: S603 fixed words and a folder
    if done.returncode:
        raise KustomizeFailed(f"kustomize refuses {folder}: {_reason(done.stderr) or f'exit status {done.returncode}'}.")
    return done.stdout


def _reason(words: str) -> str:
    """kubectl's own words, without the log line that some versions put around them."""
    return re.sub(r"^(error: |E\d{4} .*?err=<)|>$", "", " ".join(words.split())).strip().rstrip(".")
