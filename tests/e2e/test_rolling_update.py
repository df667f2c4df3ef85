from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import aiohttp
import numpy as np
import orjson
import pytest

from tests.e2e.departures import departure

if TYPE_CHECKING:
    from tests.e2e.calls import Site
    from tests.e2e.cluster import Cluster
    from tests.e2e.deployment import Deployment
    from tidegate.demo.offline import Offline

pytestmark = pytest.mark.e2e

RATE = 30


async def test_update_under_load_fails_no_request(cluster: Cluster, deployment: Deployment, offline: Offline) -> None:
    """While function and router are replaced, each of 30 requests a second gets the right response."""
    router = deployment.router
    expected = offline.scores("v1", [departure(0)])[0]
    stop = asyncio.Event()
    load = asyncio.create_task(_load(router, stop))
    try:
        old = [await asyncio.to_thread(_replace, cluster, name) for name in ("flights", "router")]
        for revision in old:
            await asyncio.to_thread(_gone, cluster, revision)
    finally:
        stop.set()
        answers = await load
    print(f"{len(answers)} requests")
    assert Counter(status for status, _ in answers) == {200: len(answers)}, [answer for answer in answers if answer[0] != 200][:5]
    assert {np.float32(orjson.loads(body)["predictions"][0]) for _, body in answers} == {expected}


def _replace(cluster: Cluster, name: str) -> str:
    """Change the template and wait until the new revision is ready; return the old one."""
    old: str = cluster.get(f"ksvc/{name}")["status"]["latestReadyRevisionName"]
    cluster.patch(f"ksvc/{name}", {"op": "add", "path": "/spec/template/metadata/annotations/tests.tidegate.dev~1update", "value": old})
    assert cluster.ready(name)["status"]["latestReadyRevisionName"] != old
    return old


def _gone(cluster: Cluster, revision: str) -> None:
    cluster.wait_all("pods", f"serving.knative.dev/revision={revision}", "delete", 240)


async def _load(site: Site, stop: asyncio.Event) -> list[tuple[int, bytes]]:
    """Status and body of each request, at a constant rate of starts; a failed request has the status 0."""
    body, headers = orjson.dumps({"instances": [departure(0)]}), {"Host": site.host, "Content-Type": "application/json"}
    url = f"http://{site.address}/v1/models/flights:predict"

    async def call(session: aiohttp.ClientSession) -> tuple[int, bytes]:
        try:
            async with session.post(url, data=body, headers=headers) as answer:
                return answer.status, await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            return 0, repr(error).encode()

    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        calls = []
        while not stop.is_set():
            calls.append(asyncio.create_task(call(session)))
            await asyncio.sleep(1 / RATE)
        return await asyncio.gather(*calls)
