"""Starts the containers of manifests as processes, with the variables that a cluster would give them and this machine's own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tidegate.local.errors import InvalidManifest, StartFailed
from tidegate.local.objects.manifests import DEFAULT_NAMESPACE
from tidegate.local.objects.podspec import Container
from tidegate.local.processes.command import Pod, argv, environment
from tidegate.local.processes.orphan_reaper import Lifeline
from tidegate.local.processes.process import Launch, Process


@dataclass(frozen=True, slots=True)
class Launcher:
    """`root` is the folder that stands for an image's working directory; `common` comes last, and so wins over the manifests."""

    root: Path
    logs: Path
    lifeline: Lifeline
    common: Mapping[str, str] = field(default_factory=dict)
    config_maps: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def start(self, container: Container, pod: Pod, given: Mapping[str, str]) -> Process:
        """Raises StartFailed when the container cannot be run here."""
        try:
            own = environment(container, pod, self.common)
        except InvalidManifest as error:
            raise StartFailed(str(error)) from None
        # On a cluster a pod knows its namespace by its service account.
        namespace = {"TIDEGATE_NAMESPACE": pod.metadata.namespace or DEFAULT_NAMESPACE}
        env = {**os.environ, **namespace, **own, **given, **self.common}
        return Process(Launch(pod.name, argv(container, env), env, self.root, self.logs / f"{pod.name}.log"), self.lifeline)
