"""Deployments as processes that always run, each with the sink of its SinkBinding."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from functions.runtime.knative.objects import SERVING
from functions.stream.settings import deadletter_of, group_of, model_of
from tidegate.local.objects.resources import Deployment, SinkBinding
from tidegate.local.objects.scaling import Decision
from tidegate.local.processes.launcher import Launcher
from tidegate.local.processes.pool import Pool, ReplicaTemplate
from tidegate.local.processes.process import Process
from tidegate.objects import InvalidManifest

# Kubernetes' default of terminationGracePeriodSeconds.
_GRACE_SECONDS = 30


def sinks(bindings: Iterable[SinkBinding], domain: str) -> dict[str, str]:
    """The address of the sink by the name of the bound Deployment.

    Raises InvalidManifest for an unsupported subject or sink.
    """
    found: dict[str, str] = {}
    for binding in bindings:
        subject = binding.spec.subject
        if subject.kind != "Deployment" or subject.name is None:
            message = f"the SinkBinding {binding.metadata.name} has a subject that tidegate up does not support"
            raise InvalidManifest(message, remedy="name a Deployment as its subject")
        found[subject.name] = _address(binding, domain)
    return found


def _address(binding: SinkBinding, domain: str) -> str:
    sink = binding.spec.sink
    if sink.ref is None:
        return sink.uri or ""
    if (sink.ref.api_version, sink.ref.kind) != (SERVING, "Service"):
        message = f"the SinkBinding {binding.metadata.name} has a sink of the unsupported kind {sink.ref.kind}"
        raise InvalidManifest(message, remedy="name a Knative Service or a URI as its sink")
    return f"http://{sink.ref.name}.{domain}{sink.uri or ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """The topics, the consumer group and the model of a stream worker."""

    topic: str
    output: str
    deadletter: str
    group: str
    model: str


class Deployments:
    """The replicas of all Deployments. `addresses` are those of their sinks, by the name of the Deployment."""

    def __init__(self, manifests: Sequence[Deployment], addresses: dict[str, str], launcher: Launcher) -> None:
        self.pools = {_name(m): Pool(_replica_template(m, addresses.get(_name(m)), launcher)) for m in manifests}
        self._replicas = {_name(m): m.spec.replicas for m in manifests}
        self.streams = {_name(m): stream for m in manifests if (stream := _stream(m, addresses.get(_name(m))))}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the replicas for as long as the context."""
        for name, pool in self.pools.items():
            pool.scale(Decision(self._replicas[name], f"spec.replicas is {self._replicas[name]}"))
        try:
            yield
        finally:
            await asyncio.gather(*(pool.close("tidegate is stopping") for pool in self.pools.values()))

    def kill(self) -> None:
        """Kill every process at once."""
        for pool in self.pools.values():
            pool.kill()


def _replica_template(manifest: Deployment, sink: str | None, launcher: Launcher) -> ReplicaTemplate:
    spec = manifest.spec.template.spec
    metadata = manifest.spec.template.metadata
    grace = _GRACE_SECONDS if spec.termination_grace_period_seconds is None else spec.termination_grace_period_seconds

    def start(number: int, port: int) -> Process:
        # Kubernetes sets no PORT; it is set here because the default port of a worker's metrics is that of the gateway.
        variables = {"PORT": str(port), **({"K_SINK": sink} if sink else {})}
        return launcher.start(spec, name=f"{_name(manifest)}-{number}", metadata=metadata, variables=variables)

    return ReplicaTemplate(name=_name(manifest), start=start, readiness=lambda port: None, grace=grace)


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
