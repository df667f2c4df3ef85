"""Deployments as processes that always run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from common.errors import InvalidSetting
from functions.stream import streams
from functions.stream.settings import deadletter_of, group_of, model_of
from functions.stream.streams import STREAMS
from tidegate.local.objects.podspec import PodSpec
from tidegate.local.objects.resources import Deployment
from tidegate.local.objects.scaling import Decision
from tidegate.local.processes import mounts
from tidegate.local.processes.launcher import Launcher
from tidegate.local.processes.pool import Pool, ReplicaTemplate
from tidegate.local.processes.process import Process

# Kubernetes' default of terminationGracePeriodSeconds.
_GRACE_SECONDS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """The topics, the consumer group and the model of a stream worker."""

    topic: str
    output: str
    deadletter: str
    group: str
    model: str


class Deployments:
    """The replicas of all Deployments, each with the variables of its SinkBinding."""

    def __init__(self, manifests: Sequence[Deployment], launcher: Launcher) -> None:
        self._manifests = {_name(m): m for m in manifests}
        self._config_maps = launcher.config_maps
        self._variables: dict[str, Mapping[str, str]] = {}
        self.pools = {name: Pool(self._replica_template(m, launcher)) for name, m in self._manifests.items()}

    @property
    def streams(self) -> dict[str, Stream]:
        """The streams of the Deployments that are stream workers, by name; of one with many, by its name and theirs."""
        found: dict[str, Stream] = {}
        for name, manifest in self._manifests.items():
            sink = self._variables.get(name, {}).get("K_SINK")
            found |= _many_streams(name, manifest, sink, self._config_maps)
            if (stream := _stream(manifest, sink)) is not None:
                found[name] = stream
        return found

    def bind(self, name: str, variables: Mapping[str, str]) -> None:
        """Set the variables of a binding. A running Deployment is replaced, as by a rollout; an unknown one is ignored."""
        if name in self.pools and variables != self._variables.get(name, {}):
            self._variables[name] = variables
            self.pools[name].replace("its SinkBinding has changed")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the replicas for as long as the context."""
        for name, pool in self.pools.items():
            replicas = self._manifests[name].spec.replicas
            pool.scale(Decision(replicas, f"spec.replicas is {replicas}"))
        try:
            yield
        finally:
            await asyncio.gather(*(pool.close("tidegate is stopping") for pool in self.pools.values()))

    def kill(self) -> None:
        """Kill every process at once."""
        for pool in self.pools.values():
            pool.kill()

    def _replica_template(self, manifest: Deployment, launcher: Launcher) -> ReplicaTemplate:
        spec, name = manifest.spec.template.spec, _name(manifest)

        def start(number: int, port: int) -> Process:
            # Kubernetes sets no PORT; it is set here because the default port of a worker's metrics is that of the gateway.
            variables = {"PORT": str(port), **self._variables.get(name, {})}
            return launcher.start(spec, name=f"{name}-{number}", metadata=manifest.spec.template.metadata, variables=variables)

        return ReplicaTemplate(name=name, start=start, readiness=lambda port: None, grace=grace_of(spec))


def grace_of(spec: PodSpec) -> float:
    """The seconds between SIGTERM and SIGKILL for a pod."""
    return _GRACE_SECONDS if spec.termination_grace_period_seconds is None else spec.termination_grace_period_seconds


def _name(manifest: Deployment) -> str:
    return manifest.metadata.name or ""


def _stream(manifest: Deployment, sink: str | None) -> Stream | None:
    """The stream of a worker, if the environment names its topic."""
    env = {item.name: item.value for item in manifest.spec.template.spec.containers[0].env}
    topic = env.get("TIDEGATE_STREAM_INPUT")
    if not topic:
        return None
    model = env.get("TIDEGATE_STREAM_MODEL") or model_of(sink or env.get("K_SINK") or "")
    return Stream(
        topic=topic,
        output=env.get("TIDEGATE_STREAM_OUTPUT") or "",
        deadletter=env.get("TIDEGATE_STREAM_DEADLETTER") or deadletter_of(topic),
        group=env.get("TIDEGATE_STREAM_GROUP") or group_of(topic),
        model=model,
    )


def _many_streams(name: str, manifest: Deployment, sink: str | None, config_maps: Mapping[str, Mapping[str, str]]) -> dict[str, Stream]:
    """The streams of a worker that reads them from a file of a ConfigMap. The worker itself reports an invalid file."""
    spec = manifest.spec.template.spec
    path = next((item.value for item in spec.containers[0].env if item.name == STREAMS), None)
    text = None if path is None else mounts.read(mounts.mounts_of(spec, config_maps), path)
    if path is None or text is None:
        return {}
    # What the environment has otherwise, such as the broker, is no part of what is shown.
    environ = {"TIDEGATE_BOOTSTRAP_SERVERS": "unknown:9092", "K_SINK": sink or "http://unknown.local/models/unknown"}
    try:
        found = streams.settings_of([entry.without_access() for entry in streams.parse(text, path)], environ, path)
    except InvalidSetting:
        return {}
    return {
        f"{name}/{item.name}": Stream(
            topic=item.settings.input,
            output=item.settings.output,
            deadletter=item.settings.deadletter,
            group=item.settings.group,
            model=item.settings.model,
        )
        for item in found
    }
