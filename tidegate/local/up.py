"""`tidegate up`: the manifests run on this machine, brought up and down in order."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import aiohttp
import yaml
from aiohttp import web

from eventing import http
from tidegate.local import manifests, resources, state, status
from tidegate.local.api import application
from tidegate.local.broker import Broker, broker
from tidegate.local.deployments import Deployments, sinks
from tidegate.local.errors import InvalidManifest, PortTaken
from tidegate.local.failure import Failure
from tidegate.local.fleet import Fleet
from tidegate.local.gateway import Gateway
from tidegate.local.launcher import Launcher
from tidegate.local.lifeline import Lifeline
from tidegate.local.manifests import Document
from tidegate.local.store import Store, now
from tidegate.local.validation import Object

log = logging.getLogger("tidegate.local")

_LOOPBACK = "127.0.0.1"
# A watch never ends by itself: at the end they are cut off.
_WATCH_GRACE = 0.1


@dataclass(frozen=True, slots=True)
class UpSettings:
    """What a person may choose. A port of 0 is any that is free.

    `manifests` is a path (`-` is standard input) or the objects themselves. `project_root` is the folder that processes start in;
    the model's paths in manifests are relative to it. `bootstrap_servers` None is the embedded broker.
    """

    manifests: str | Sequence[Object] = "manifests/base"
    port: int = 8080
    api_port: int = 0
    host: str = _LOOPBACK
    state_dir: Path = Path(".tidegate")
    project_root: Path = field(default_factory=Path.cwd)
    bootstrap_servers: str | None = None


@dataclass(frozen=True, slots=True)
class Up:
    """What runs. `fleet.apply(service)` creates or changes a Knative Service, as the API does."""

    running: state.Running
    broker: Broker
    fleet: Fleet
    deployments: Deployments

    @property
    def in_flight(self) -> int:
        return self.fleet.in_system

    def status(self) -> status.Status:
        pools = {name: revision.pool for name, revision in self.fleet.revisions.items()} | self.deployments.pools
        return {
            "gateway": self.running.gateway,
            "kafka": self.running.kafka,
            "bootstrap_servers": self.running.bootstrap_servers,
            "in_flight": self.in_flight,
            "services": status.services(self.fleet),
            "deployments": {name: status.pool(pool) for name, pool in self.deployments.pools.items()},
            "streams": {name: {"topic": item.topic, "group": item.group} for name, item in self.deployments.streams.items()},
            "peak_rss_mib": status.peaks(pools),
        }

    def kill(self) -> None:
        """Ends every process at once; what was in flight is lost."""
        self.deployments.kill()
        self.fleet.kill()


@asynccontextmanager
async def up(settings: UpSettings) -> AsyncIterator[Up]:
    """Everything, from the broker to the workers; at the end it drains and stops in the opposite order.

    Raises InvalidManifest, PortTaken, AlreadyRunning or BrokerUnreachable before any process was started.
    """
    documents = _documents(settings)
    state.check_free(settings.state_dir)
    async with AsyncExitStack() as stack:
        gateway_socket = stack.enter_context(_listen(settings.host, settings.port, "--port"))
        api_socket = stack.enter_context(_listen(_LOOPBACK, settings.api_port, "--api-port"))
        kafka = await stack.enter_async_context(broker(settings.bootstrap_servers))
        running = _running(settings, kafka, gateway_socket, api_socket)
        launcher = _launcher(settings, documents, running, kafka, stack.enter_context(Lifeline()))
        domain = f"localhost:{gateway_socket.getsockname()[1]}"
        fleet = Fleet(Store(), launcher, domain)
        deployments = _deployments(documents, launcher, domain)
        here = Up(running, kafka, fleet, deployments)
        await stack.enter_async_context(_serving(_api(here), api_socket))
        stack.push_async_callback(fleet.close)
        client = await stack.enter_async_context(http.session(timeout_seconds=None))
        await stack.enter_async_context(_serving(_gateway(fleet, client), gateway_socket))
        _apply(documents, fleet)
        stack.push_async_callback(_drained, fleet)
        await stack.enter_async_context(deployments.running())
        stack.enter_context(state.announced(settings.state_dir, running))
        log.info("%s is the gateway; %s the API; Kafka is at %s (%s)", running.gateway, running.api, kafka.bootstrap_servers, kafka.kafka)
        yield here


async def run(settings: UpSettings) -> None:
    """Runs until SIGINT or SIGTERM; the first one drains, the second one kills."""
    stopping, loop = asyncio.Event(), asyncio.get_running_loop()
    async with up(settings) as here:

        def stop() -> None:
            if stopping.is_set():
                log.warning("killing what is left")
                here.kill()
            stopping.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop)
        await stopping.wait()


def _documents(settings: UpSettings) -> list[Document]:
    if isinstance(settings.manifests, str):
        return manifests.load(settings.manifests)
    return manifests.checked([Document(f"object {number}", item) for number, item in enumerate(settings.manifests, start=1)])


@contextmanager
def _listen(host: str, port: int, option: str) -> Iterator[socket.socket]:
    """Bound at once, so that a port that is taken is known before anything is started."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, port))
        except OSError as error:
            raise PortTaken(
                f"cannot listen on {host}:{port}: {error.strerror}; stop what uses it, or choose another by {option}."
            ) from None
        sock.listen(1024)
        yield sock


@asynccontextmanager
async def _serving(runner: web.AppRunner | web.ServerRunner, sock: socket.socket) -> AsyncIterator[None]:
    await runner.setup()
    try:
        await web.SockSite(runner, sock).start()
        yield
    finally:
        await runner.cleanup()


def _gateway(fleet: Fleet, client: aiohttp.ClientSession) -> web.ServerRunner:
    # A body stays as it was sent; a caller that goes away ends its request.
    server = web.Server(Gateway(fleet, client).handle, access_log=None, auto_decompress=False, handler_cancellation=True)
    return web.ServerRunner(server)


def _api(here: Up) -> web.AppRunner:
    async def show(_: web.Request) -> web.Response:
        return web.json_response(here.status())

    app = application(here.fleet.store)
    app.router.add_get("/tidegate/status", show)
    return web.AppRunner(app, access_log=None, shutdown_timeout=_WATCH_GRACE, handler_cancellation=True)


def _running(settings: UpSettings, kafka: Broker, gateway: socket.socket, api: socket.socket) -> state.Running:
    api_url = f"http://{_LOOPBACK}:{api.getsockname()[1]}"
    return state.Running(
        pid=os.getpid(),
        gateway=f"http://{_LOOPBACK}:{gateway.getsockname()[1]}",
        api=api_url,
        kubeconfig=str(_write_kubeconfig(settings.state_dir, api_url)),
        bootstrap_servers=kafka.bootstrap_servers,
        kafka_api_version=kafka.api_version,
        kafka=kafka.kafka,
        started=now(),
    )


def _launcher(settings: UpSettings, documents: Sequence[Document], running: state.Running, kafka: Broker, line: Lifeline) -> Launcher:
    logs = settings.state_dir.resolve() / "log"
    shutil.rmtree(logs, ignore_errors=True)
    common = {**kafka.environment(), "TIDEGATE_KUBERNETES_API": running.api}
    config_maps = {m.metadata.name or "": m.data for m in _parsed(documents, resources.ConfigMap)}
    return Launcher(settings.project_root.resolve(), logs, line, common, config_maps)


def _deployments(documents: Sequence[Document], launcher: Launcher, domain: str) -> Deployments:
    bindings = _parsed(documents, resources.SinkBinding)
    return Deployments(_parsed(documents, resources.Deployment), sinks(bindings, domain), launcher)


def _apply(documents: Sequence[Document], fleet: Fleet) -> None:
    for document in documents:
        kind, name = document.object["kind"], document.object["metadata"]["name"]
        if kind == "Service":
            try:
                fleet.apply(document.object)
            except Failure as failure:
                raise InvalidManifest(f"{document.source}: {failure}") from None
        elif kind == "JobSink":
            log.info("the JobSink %s is not started by tidegate up: use `tidegate batch`", name)


async def _drained(fleet: Fleet) -> None:
    """The gateway stays open until then: a function that answers a request may need another one for it."""
    if fleet.in_system:
        log.info("draining: waiting for %d requests…", fleet.in_system)
    while fleet.in_system:  # noqa: ASYNC110 only at the end, and not for long
        await asyncio.sleep(0.05)


M = TypeVar("M", bound=resources.Manifest)


def _parsed(documents: Sequence[Document], model: type[M]) -> list[M]:
    known = (resources.check(document.object) for document in documents)
    return [manifest for manifest in known if isinstance(manifest, model)]


def _write_kubeconfig(state_dir: Path, api: str) -> Path:
    """No credentials: the API listens on loopback only."""
    name = "tidegate"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{"name": name, "cluster": {"server": api}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": "default"}}],
        "users": [{"name": name, "user": {}}],
    }
    state_dir.mkdir(parents=True, exist_ok=True)
    path = state_dir.resolve() / "kubeconfig"
    path.write_text(yaml.safe_dump(config, sort_keys=False), "utf-8")
    return path
