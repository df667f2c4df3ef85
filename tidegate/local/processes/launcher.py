"""Start of containers as processes, with the variables of a cluster and those of this machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tidegate.documents import InvalidManifest
from tidegate.local.errors import StartFailed
from tidegate.local.objects.manifests import DEFAULT_NAMESPACE
from tidegate.local.objects.podspec import PodSpec
from tidegate.local.objects.resources import Metadata
from tidegate.local.processes.command import Pod, argv, environment
from tidegate.local.processes.mounts import mounts_of, write
from tidegate.local.processes.orphan_reaper import OrphanReaper
from tidegate.local.processes.process import Launch, Process


@dataclass(frozen=True, slots=True, kw_only=True)
class Launcher:
    """The environment in which all containers start.

    `root` replaces the working directory of an image; the variables in `common` replace those of the manifests, whose
    values pass through `rewrite`. Files of ConfigMaps lie below `mounts`; without it, none is mounted.
    """

    root: Path
    logs: Path
    reaper: OrphanReaper
    mounts: Path | None = None
    common: Mapping[str, str] = field(default_factory=dict)
    config_maps: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    rewrite: Callable[[str], str] = str

    def start(self, spec: PodSpec, *, name: str, metadata: Metadata, variables: Mapping[str, str]) -> Process:
        """Start the container of a pod with additional `variables`. Raises StartFailed if that is not possible."""
        container = spec.containers[0]
        pod = Pod(name=name, metadata=metadata, service_account=spec.service_account_name or "default", config_maps=self.config_maps)
        try:
            place = str if self.mounts is None else write(mounts_of(spec, self.config_maps), self.mounts / name)
            own = {name: place(self.rewrite(value)) for name, value in environment(container, pod, self.common).items()}
        except InvalidManifest as error:
            raise StartFailed(error.message, remedy=error.remedy) from None
        except OSError as error:
            message = f"{name}: cannot write the files of its ConfigMaps: {error.strerror}"
            raise StartFailed(message, remedy="check the folder and its disk") from None
        # On a cluster a pod reads its namespace from its service account.
        namespace = {"TIDEGATE_NAMESPACE": metadata.namespace or DEFAULT_NAMESPACE}
        env = {**os.environ, **namespace, **own, **variables, **self.common}
        launch = Launch(
            name=name, argv=[place(word) for word in argv(container, env)], env=env, cwd=self.root, log=self.logs / f"{name}.log"
        )
        return Process.start(launch, self.reaper)
