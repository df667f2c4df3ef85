"""Kustomizations: those that only list resources, and the output of kustomize for the others."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from common.errors import TidegateError

_NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
# `configurations` has an effect only together with a change.
_LISTING = {"apiVersion", "kind", "metadata", "resources", "configurations"}
_COMMANDS = (("kustomize", "build"), ("kubectl", "kustomize"))


class KustomizeFailed(TidegateError):
    """kustomize is not installed, or fails."""


def file_of(folder: Path) -> Path | None:
    """The folder's kustomization; None if it has none."""
    return next((folder / name for name in _NAMES if (folder / name).is_file()), None)


def lists_only(content: dict[str, Any]) -> bool:
    """Whether a kustomization only lists resources on this machine."""
    return not set(content) - _LISTING and not any("://" in str(resource) for resource in content.get("resources") or [])


def build(folder: Path) -> str:
    """The output of kustomize for a folder, as YAML. Raises KustomizeFailed."""
    command = next((command for command in _COMMANDS if shutil.which(command[0])), None)
    if command is None:
        raise KustomizeFailed(
            f"{folder} changes objects, which needs kustomize, and neither it nor kubectl is on the PATH", remedy="install kubectl"
        )
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False)  # noqa: S603 fixed words and a folder
    if done.returncode:
        raise KustomizeFailed(f"kustomize cannot build {folder}: {_reason(done.stderr) or f'exit status {done.returncode}'}.")
    return done.stdout


def _reason(words: str) -> str:
    """kubectl's message, without the log prefix that some versions add."""
    return re.sub(r"^(error: |E\d{4} .*?err=<)|>$", "", " ".join(words.split())).strip().rstrip(".")
