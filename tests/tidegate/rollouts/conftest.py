"""The API of `tidegate up` with a Knative Service, and the command against it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestServer

from tests.functions.rollout.services import CANARY, STABLE, service
from tidegate.cli import run
from tidegate.local.apiserver import kubeconfig
from tidegate.local.apiserver.api import application
from tidegate.local.apiserver.patch import merge
from tidegate.local.apiserver.store import Store

Object = dict[str, Any]
Call = Callable[..., Coroutine[Any, Any, int]]
TOKEN = "secret"  # noqa: S105 of the test


@pytest.fixture
def store() -> Store:
    """The objects: a Knative Service with two revisions, of which the older one has all traffic."""
    store = Store()
    for name in (STABLE, CANARY):
        labels = {"serving.knative.dev/service": "flights"}
        metadata = {"name": name, "namespace": "default", "labels": labels}
        store.create("revisions", {"apiVersion": "serving.knative.dev/v1", "kind": "Revision", "metadata": metadata, "spec": {}})
    store.create("services", service())
    return store


@pytest.fixture
async def config(store: Store, tmp_path: Path) -> AsyncIterator[Path]:
    """The kubeconfig of an API with the objects."""
    async with TestServer(application(store, TOKEN, lambda resource, item: item)) as server:
        yield kubeconfig.write(tmp_path, str(server.make_url("")).rstrip("/"), TOKEN)


@pytest.fixture
def rollout(config: Path) -> Call:
    """Run `tidegate rollout` on the API; returns the exit status."""

    async def call(*arguments: str) -> int:
        return await asyncio.to_thread(run, ["rollout", *arguments, "--kubeconfig", str(config)])

    return call


@pytest.fixture
def change(store: Store) -> Callable[[Object], Object]:
    """Merge a patch into the Knative Service, as another writer does."""

    def write(patch: Object) -> Object:
        return store.update("services", merge(store.get("services", "flights"), patch))

    return write
