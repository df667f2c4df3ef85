"""Calls that several tests make: of the gateway, and of the API by the Kubernetes client."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from functools import partial
from typing import Any

import aiohttp
import pytest
from kubernetes import client as kubernetes

from tidegate.local.up import Up

Object = dict[str, Any]
Call = Callable[..., Any]
WHERE = ("serving.knative.dev", "v1", "default")


async def call(function: Call, *arguments: Any, **options: Any) -> Any:
    return await asyncio.to_thread(partial(function, *arguments, **options))


async def fails(function: Call, *arguments: Any, **options: Any) -> tuple[int, str]:
    """The status and the body of the error that the call must raise."""
    with pytest.raises(kubernetes.ApiException) as caught:
        await call(function, *arguments, **options)
    return caught.value.status, str(caught.value.body)


async def get(api: kubernetes.CustomObjectsApi, name: str = "hello") -> Object:
    item: Object = await call(api.get_namespaced_custom_object, *WHERE, "services", name)
    return item


async def settled(api: kubernetes.CustomObjectsApi, name: str = "hello") -> Object:
    """The service as soon as its status is that of its newest generation."""
    async with asyncio.timeout(10):
        while True:
            item = await get(api, name)
            if item.get("status", {}).get("observedGeneration") == item["metadata"]["generation"]:
                return item


def url(here: Up, path: str = "/", host: str = "hello.localhost") -> str:
    """An address at the gateway."""
    return f"http://{host}:{here.running.gateway.rpartition(':')[2]}{path}"


async def get_json(client: aiohttp.ClientSession, address: str) -> Object:
    async with client.get(address) as response:
        answer: Object = await response.json()
        return answer


def is_gone(pid: int) -> bool:
    """Whether there is no process with this id."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False
