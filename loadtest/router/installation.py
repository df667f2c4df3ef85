"""A `tidegate up` with the example and the router, changed by its Kubernetes API and by `tidegate rollout`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson
import yaml

from common import http_client
from common.errors import TidegateError
from loadtest.local_gateway import local_gateway

MODEL, ROUTER = "flights", "router"
Object = dict[str, Any]
_BASE = Path("manifests/base")
_SERVICES = "/apis/serving.knative.dev/v1/namespaces/default/services"
# Knative's shortest window of the autoscaler: what a burst has started ends soon.
_WINDOW = "6s"
_READY_SECONDS = 60.0
_TICK_SECONDS = 0.1


class Refused(TidegateError):
    """The API, or a command, refused what it was asked, or a replica did not start."""


@dataclass(frozen=True, slots=True)
class Replica:
    """The process of a replica that takes requests."""

    pid: int
    revision: str
    since: str


class Installation:
    """The API of a running `tidegate up`, as kubectl uses it, and its commands."""

    def __init__(self, folder: Path, gateway: str, client: aiohttp.ClientSession) -> None:
        running = orjson.loads((folder / "up.json").read_bytes())
        self.pid: int = running["pid"]
        self.router = f"http://{ROUTER}.localhost:{urlsplit(gateway).port}"
        self._folder = folder
        self._api: str = running["api"]
        self._client = client
        self._headers = {"Authorization": f"Bearer {Path(running['token_file']).read_text('ascii').strip()}"}

    async def service(self, name: str) -> Object:
        """A Knative Service as it is now."""
        return await self._call("GET", f"{_SERVICES}/{name}")

    async def patch(self, name: str, patch: Object) -> Object:
        """Apply a merge patch to a Knative Service, as `kubectl patch --type merge` does."""
        return await self._call("PATCH", f"{_SERVICES}/{name}", patch)

    async def split(self, shares: Mapping[str, tuple[str, int]]) -> None:
        """Give revisions, by tag, these percentages of the model's traffic."""
        targets = [{"tag": tag, "revisionName": revision, "percent": percent} for tag, (revision, percent) in shares.items()]
        await self.patch(MODEL, {"spec": {"traffic": targets}})

    async def deploy(self, name: str, *, annotations: Mapping[str, str] = {}, **variables: str) -> str:
        """Change a Service's template, which makes a revision; return its name."""
        service = await self.service(name)
        (container,) = service["spec"]["template"]["spec"]["containers"]
        others = [item for item in container.get("env", []) if item["name"] not in variables]
        env = [*others, *({"name": key, "value": value} for key, value in variables.items())]
        template = {
            "metadata": {"annotations": dict(annotations)},
            "spec": {"containers": [{**container, "env": env}]},
        }
        generation = (await self.patch(name, {"spec": {"template": template}}))["metadata"]["generation"]
        while (service := await self.service(name))["status"]["observedGeneration"] < generation:  # noqa: ASYNC110 as kubectl does
            await asyncio.sleep(_TICK_SECONDS)
        created: str = service["status"]["latestCreatedRevisionName"]
        return created

    async def rollout(self, *arguments: str) -> None:
        """Run `tidegate rollout`. Raises Refused."""
        command = ("-m", "tidegate", "rollout", *arguments, "--state-dir", str(self._folder))
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        output, _ = await process.communicate()
        if process.returncode:
            raise Refused(f"`tidegate rollout {' '.join(arguments)}` failed: {' '.join(output.decode(errors='replace').split())}")

    async def replicas(self, name: str) -> list[Replica]:
        """The replicas that take requests, of the revisions of a Service that have traffic."""
        return [
            Replica(replica["pid"], revision["name"], replica["since"])
            for revision in await self._revisions(name)
            for replica in revision["replicas"]
            if revision["percent"] and replica["state"] == "ready"
        ]

    async def starts(self, name: str) -> tuple[int, int]:
        """How many replicas of a Service have been started, and stopped in order."""
        revisions = await self._revisions(name)
        return sum(item["starts"] for item in revisions), sum(item["stops"] for item in revisions)

    async def replicas_of(self, name: str, count: int) -> list[Replica]:
        """Wait until so many replicas of a Service take requests. Raises Refused."""
        found: list[Replica] = []
        try:
            async with asyncio.timeout(_READY_SECONDS):
                while len(found := await self.replicas(name)) < count:  # noqa: ASYNC110 no event says so
                    await asyncio.sleep(_TICK_SECONDS)
        except TimeoutError:
            raise Refused(f"{name} has {len(found)} instead of {count} replicas after {_READY_SECONDS:g} s.") from None
        return found

    async def _revisions(self, name: str) -> list[Object]:
        status = await self._call("GET", "/tidegate/status")
        revisions: list[Object] = status["services"][name]["revisions"]
        return revisions

    async def _call(self, method: str, path: str, patch: Object | None = None) -> Object:
        headers = self._headers | ({"Content-Type": "application/merge-patch+json"} if patch else {})
        body = orjson.dumps(patch) if patch else None
        async with self._client.request(method, self._api + path, headers=headers, data=body) as answer:
            document: Object = orjson.loads(await answer.read())
        if answer.status >= 400:
            raise Refused(f"{method} {path}: {document.get('message')}")
        return document


@asynccontextmanager
async def installed(folder: Path, models: Path, *, rate: float) -> AsyncIterator[Installation]:
    """Run the example of these models and the router in a `tidegate up` with its state in a folder.

    At this rate of requests, both are scaled up by a burst. Raises GatewayFailed.
    """
    starting = local_gateway(folder / "up", _written(folder, models, rate))
    gateway = await asyncio.to_thread(starting.__enter__)
    try:
        async with http_client.session(timeout_seconds=None) as client:
            yield Installation(folder / "up", gateway, client)
    finally:
        await asyncio.to_thread(starting.__exit__, None, None, None)


def _written(folder: Path, models: Path, rate: float) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    manifests = folder / "manifests.yaml"
    manifests.write_text(yaml.safe_dump_all(_manifests(models, rate)), "utf-8")
    return manifests


def _manifests(models: Path, rate: float) -> list[Object]:
    """The project's manifests, with replicas that are always there, and others that a burst starts."""
    documents = [yaml.safe_load((_BASE / name / "service.yaml").read_text("utf-8")) for name in (MODEL, ROUTER)]
    for item in documents:
        name, template = item["metadata"]["name"], item["spec"]["template"]
        lowest = {MODEL: 1, ROUTER: 2}[name]
        scaling = {"min-scale": lowest, "max-scale": lowest + 2, "window": _WINDOW, "metric": "rps", "target": f"{rate / lowest:g}"}
        template["metadata"]["annotations"] |= {f"autoscaling.knative.dev/{key}": str(value) for key, value in scaling.items()}
        if name == MODEL:
            variables = template["spec"]["containers"][0]["env"]
            variables[:] = [item for item in variables if item["name"] != "TIDEGATE_MODEL"]
            variables.append({"name": "TIDEGATE_MODEL", "value": str((models / "v1").resolve())})
    return documents
