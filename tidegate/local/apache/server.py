"""One node of Apache Kafka as a process: its configuration, its start, restarts and its end."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import shutil
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from common.ports import stable_ports
from tidegate.local.apache import java, libraries
from tidegate.local.errors import StartFailed
from tidegate.local.processes.backoff import Backoff
from tidegate.local.processes.orphan_reaper import OrphanReaper
from tidegate.local.processes.process import Launch, Process

log = logging.getLogger("tidegate.local")

STARTED = "Kafka Server started"
_LOOPBACK = "127.0.0.1"
_START_SECONDS = 90.0
_CHECK_SECONDS = 0.05
# A clean stop takes about a second; after a SIGKILL the next start checks the logs, and nothing is lost either.
_STOP_SECONDS = 15.0
# The embedded broker's number for a topic that it creates.
_PARTITIONS = 4
_FORMAT = "kafka.tools.StorageTool"
_SERVER = "kafka.Kafka"
_LOGGING = ("-Dorg.slf4j.simpleLogger.showDateTime=true", "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The folders of a broker: its topics and configuration, its output, and the cache of its program.

    With `fresh` the topics of earlier runs are deleted first.
    """

    folder: Path
    output: Path
    cache: Path
    fresh: bool = False


@asynccontextmanager
async def running(options: Options, reaper: OrphanReaper, hurry: asyncio.Event) -> AsyncIterator[str]:
    """Run a broker and yield its address; one that ends by itself is started again, at the same address.

    At the end it is stopped in order, or killed at once if `hurry` is set. Raises MissingProgram or StartFailed.
    """
    program = await asyncio.to_thread(java.find)
    jars = await libraries.installed(options.cache, options.output, reaper)
    command = java_command(program, jars)
    controller, port = stable_ports(2)
    await _prepare(options, command, properties(controller, port), reaper)
    argv = server_command(command, options.folder / "server.properties")
    launch = Launch(name="kafka", argv=argv, env=os.environ, cwd=options.folder, log=options.output)
    log.info("starting Apache Kafka %s; its log is %s…", libraries.VERSION, options.output)
    server = _Server(launch, reaper)
    try:
        seconds = await server.start()
        log.info("Apache Kafka is ready after %.1f s; its topics are kept in %s", seconds, options.folder)
        keeping = asyncio.create_task(server.keep())
        try:
            yield f"{_LOOPBACK}:{port}"
        finally:
            keeping.cancel()
            await asyncio.wait({keeping})
    finally:
        await server.stop(0.0 if hurry.is_set() else _STOP_SECONDS)


def java_command(program: str, jars: Path, *options: str, heap: str = "512m") -> list[str]:
    """Return the command line of a class of Apache Kafka, which follows it. C1 compiles sooner, and shortens the start."""
    return [program, f"-Xmx{heap}", "-XX:TieredStopAtLevel=1", *_LOGGING, *options, "-cp", f"{jars}/*"]


def format_command(java_command: Sequence[str], configuration: Path, *options: str) -> list[str]:
    """Return the command line that prepares the folder of the data."""
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    # In one argument: an identifier may begin with a hyphen.
    return [*java_command, _FORMAT, "format", f"--cluster-id={cluster}", "-c", str(configuration), *options]


def server_command(java_command: Sequence[str], configuration: Path) -> list[str]:
    """Return the command line of the broker."""
    return [*java_command, _SERVER, str(configuration)]


def properties(controller: int, port: int) -> dict[str, str]:
    """Return the configuration of a single node for clients on this machine, all but the folder of its data."""
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{_LOOPBACK}:{controller}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"CONTROLLER://{_LOOPBACK}:{controller},PLAINTEXT://{_LOOPBACK}:{port}",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
        "num.partitions": str(_PARTITIONS),
        **single_replicas(),
    }


def single_replicas() -> dict[str, str]:
    """Return the settings of a cluster of one node, whose groups need no time to gather."""
    return {
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
    }


def write_properties(path: Path, values: Mapping[str, str]) -> None:
    path.write_text("".join(f"{name}={value}\n" for name, value in values.items()), "utf-8")


async def _prepare(options: Options, command: Sequence[str], values: Mapping[str, str], reaper: OrphanReaper) -> None:
    """Write the configuration, and format the folder of the data unless an earlier run has."""
    folder, data = options.folder, options.folder / "data"
    if options.fresh:
        shutil.rmtree(data, ignore_errors=True)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_properties(folder / "server.properties", {**values, "log.dirs": str(data)})
        if data.exists():
            return
        # Formatted under another name, so that the data are complete once they are there.
        part = folder / "data.part"
        shutil.rmtree(part, ignore_errors=True)
        write_properties(folder / "format.properties", {**values, "log.dirs": str(part)})
        await _format(format_command(command, folder / "format.properties"), options, reaper)
        part.rename(data)
    except OSError as error:
        raise StartFailed(f"cannot write into {folder}: {error.strerror}", remedy="check the folder and its disk") from None


async def _format(argv: list[str], options: Options, reaper: OrphanReaper) -> None:
    process = Process.start(Launch(name="kafka", argv=argv, env=os.environ, cwd=options.folder, log=options.output), reaper)
    try:
        exit_ = await process.exited
    finally:
        await process.stop(0.0)
    if exit_.code:
        message = f"Apache Kafka cannot format {options.folder} ({process.last_line()}); its output is in {options.output}"
        raise StartFailed(message, remedy="check the folder and its disk")


class _Server:
    """The process of a broker, replaced by another when it ends by itself."""

    def __init__(self, launch: Launch, reaper: OrphanReaper) -> None:
        self._launch = launch
        self._reaper = reaper
        self._process: Process | None = None

    async def start(self) -> float:
        """Start it and return the seconds until it is ready. Raises StartFailed."""
        path = self._launch.log
        begin = path.stat().st_size if path.exists() else 0
        self._process = process = Process.start(self._launch, self._reaper)
        while not _has_started(path, begin):
            seconds = time.monotonic() - process.spawned
            if process.exited.done() or seconds > _START_SECONDS:
                problem = str(process.exited.result()) if process.exited.done() else f"is not ready after {seconds:.0f} s"
                await process.stop(0.0)
                message = f"Apache Kafka {problem} ({process.last_line()}); its log is {path}"
                raise StartFailed(message, remedy="fix what the log names, or begin without its topics (--fresh)")
            await asyncio.sleep(_CHECK_SECONDS)
        return time.monotonic() - process.spawned

    async def keep(self) -> None:
        """Start it again each time that it ends by itself."""
        backoff = Backoff()
        while self._process is not None:
            process = self._process
            exit_ = await asyncio.shield(process.exited)
            pause = backoff.record_failure(time.monotonic() - process.spawned, was_ready=True)
            log.error("Apache Kafka %s; its log is %s; it is started again in %.1f s", exit_, self._launch.log, pause)
            await asyncio.sleep(pause)
            try:
                await self.start()
            except StartFailed as error:
                log.error("%s", error)
            else:
                log.info("Apache Kafka is ready again")

    async def stop(self, grace: float) -> None:
        if self._process is not None:
            await self._process.stop(grace)


def _has_started(path: Path, begin: int) -> bool:
    with suppress(FileNotFoundError), path.open("rb") as file:
        file.seek(begin)
        return STARTED.encode() in file.read()
    return False
