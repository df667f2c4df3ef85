"""Deployments as processes that always run, each with the sink that a SinkBinding gives it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from functions.stream.settings import group_of, model_of
from tidegate.local.errors import InvalidManifest
from tidegate.local.objects.resources import SERVING, Deployment, SinkBinding
from tidegate.local.objects.scaling import Decision
from tidegate.local.processes.command import Pod
from tidegate.local.processes.launcher import Launcher
from tidegate.local.processes.pool import Pool, Recipe
from tidegate.local.processes.process import Process

log = logging.getLogger("tidegate.local")

# Kubernetes' default of terminationGracePeriodSeconds.
_GRACE_SECONDS = 30


def sinks(bindings: Iterable[SinkBinding], domain: str) -> dict[str, str]:
    """The sink's address by the name of the Deployment that gets it. Raises InvalidManifest for a sink that has no host here."""
    found: dict[str, str] = {}
    for binding in bindings:
        subject = binding.spec.subject
        if subject.kind != "Deployment" or subject.name is None:
            name = binding.metadata.name
            raise InvalidManifest(f"the SinkBinding {name} has a subject that is not a Deployment with a name; tidegate up knows no other.")
        found[subject.name] = _address(binding, domain)
    return found


def _address(binding: SinkBinding, domain: str) -> str:
    sink = binding.spec.sink
    if sink.ref is None:
        return sink.uri or ""
    if (sink.ref.api_version, sink.ref.kind) != (SERVING, "Service"):
        name = binding.metadata.name
        raise InvalidManifest(f"the SinkBinding {name} has a sink of kind {sink.ref.kind}; tidegate up knows Knative Services and URIs.")
    return f"http://{sink.ref.name}.{domain}{sink.uri or ''}"


@dataclass(frozen=True, slots=True)
class Stream:
    """A topic, the consumer group that reads it, and the model that it goes through."""

    topic: str
    group: str
    model: str


class Deployments:
    def __init__(self, manifests: Sequence[Deployment], sinks_: dict[str, str], launcher: Launcher) -> None:
        self.pools = {_name(m): Pool(_recipe(m, sinks_.get(_name(m)), launcher), _nothing) for m in manifests}
        self._wanted = {_name(m): m.spec.replicas for m in manifests}
        self.streams = {_name(m): stream for m in manifests if (stream := _stream(m, sinks_.get(_name(m))))}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        for name, pool in self.pools.items():
            pool.scale(Decision(self._wanted[name], f"its manifest wants {self._wanted[name]}"))
        try:
            yield
        finally:
            await asyncio.gather(*(pool.close("tidegate is stopping") for pool in self.pools.values()))

    def kill(self) -> None:
        for pool in self.pools.values():
            pool.kill()


def _recipe(manifest: Deployment, sink: str | None, launcher: Launcher) -> Recipe:
    spec = manifest.spec.template.spec
    metadata = manifest.spec.template.metadata
    grace = _GRACE_SECONDS if spec.termination_grace_period_seconds is None else spec.termination_grace_period_seconds

    def start(number: int, port: int) -> Process:
        pod = Pod(f"{_name(manifest)}-{number}", metadata, spec.service_account_name or "default", launcher.config_maps)
        # Kubernetes gives no PORT, but here the gateway has the port that a worker's metrics would take.
        given = {"PORT": str(port), **({"K_SINK": sink} if sink else {})}
        return launcher.start(spec.containers[0], pod, given)

    return Recipe(_name(manifest), start, lambda port: None, grace)


def _name(manifest: Deployment) -> str:
    return manifest.metadata.name or ""


def _stream(manifest: Deployment, sink: str | None) -> Stream | None:
    """The stream that a worker moves, if its environment names one."""
    env = {item.name: item.value for item in manifest.spec.template.spec.containers[0].env}
    topic = env.get("TIDEGATE_STREAM_INPUT")
    if not topic:
        return None
    model = env.get("TIDEGATE_STREAM_MODEL") or model_of(sink or env.get("K_SINK") or "")
    return Stream(topic, env.get("TIDEGATE_STREAM_GROUP") or group_of(topic), model)


def _nothing() -> None:
    """Nobody waits for a deployment's replicas."""
