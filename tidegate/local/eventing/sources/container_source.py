"""ContainerSources: a process that always runs and sends its events to `K_SINK`."""

from __future__ import annotations

import asyncio

from tidegate.local.controller.deployments import grace_of
from tidegate.local.eventing.runner import Resolved
from tidegate.local.eventing.sources.bindings import variables_of
from tidegate.local.objects.eventing import ContainerSource
from tidegate.local.objects.scaling import Decision
from tidegate.local.processes.launcher import Launcher
from tidegate.local.processes.pool import Pool, ReplicaTemplate
from tidegate.local.processes.process import Process


class ContainerSources:
    """The runner of ContainerSources: one process for each that has a sink."""

    def __init__(self, launcher: Launcher) -> None:
        self.pools: dict[tuple[str, str], Pool] = {}
        self._launcher = launcher
        self._closing: set[asyncio.Task[None]] = set()

    def apply(self, item: ContainerSource, context: Resolved) -> None:
        """Start the process, or replace it by one with the new template or sink."""
        key = item.metadata.namespace or "", item.metadata.name or ""
        self._stop(key, "its ContainerSource has changed")
        if context.sink is not None:
            self.pools[key] = pool = Pool(_template(item, context.sink, self._launcher))
            pool.scale(Decision(1, "a ContainerSource has one process"))

    def delete(self, namespace: str, name: str) -> None:
        """Stop the process."""
        self._stop((namespace, name), "its ContainerSource was deleted")

    async def close(self) -> None:
        """Stop all processes."""
        for key in tuple(self.pools):
            self._stop(key, "tidegate is stopping")
        await asyncio.gather(*self._closing)

    def kill(self) -> None:
        """Kill every process at once."""
        for pool in self.pools.values():
            pool.kill()

    def _stop(self, key: tuple[str, str], reason: str) -> None:
        pool = self.pools.pop(key, None)
        if pool:
            task = asyncio.create_task(pool.close(reason))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)


def _template(item: ContainerSource, sink: str, launcher: Launcher) -> ReplicaTemplate:
    template, name = item.spec.template, item.metadata.name or ""
    variables = variables_of(item.spec, sink)

    def start(number: int, port: int) -> Process:
        return launcher.start(
            template.spec, name=f"{name}-{number}", metadata=template.metadata, variables={"PORT": str(port), **variables}
        )

    return ReplicaTemplate(name=name, start=start, readiness=lambda port: None, grace=grace_of(template.spec))
