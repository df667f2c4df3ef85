from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from aiohttp import web

from common.http_client import session
from functions.router.versions import versions_of, with_versions
from tests.functions.router.flights import KEYS, owner, service

if TYPE_CHECKING:
    from tests.functions.router.conftest import Handler, StartRouter, StartServer

SHARES = (("v1", 50), ("v2", 50))


def key_of(tag: str) -> str:
    return next(key for key in KEYS if owner(service(1, *SHARES), key) == tag)


def canary(asked: Counter[str], versions: dict[str, list[str]]) -> Handler:
    """Revisions that each serve their versions, as a model function does, and record the requests."""

    async def answer(request: web.Request) -> web.StreamResponse:
        tag, path = request.host.partition("-")[0], request.path.rstrip("/")
        asked[f"{tag} {request.method} {path}"] += 1
        known = versions[tag]
        parts = path.split("/")
        version = parts[5] if "versions" in parts else known[0]
        if version not in known:
            return web.json_response({"error": f"there is no version {version}."}, status=404)
        if path.endswith("/infer"):
            rows = (await request.json())["inputs"][0]["shape"][0]
            output = {"name": "late", "shape": [rows], "datatype": "FP32", "data": [1.0] * rows}
            return web.json_response({"model_name": "flights", "model_version": version, "outputs": [output]})
        if path.endswith("/ready"):
            return web.json_response({"name": "flights", "ready": True})
        return web.json_response({"name": "flights", "versions": known, "platform": f"of {tag}", "inputs": [], "outputs": []})

    return answer


@pytest.mark.parametrize("path", ["/v2/models/flights/versions/2/infer", "/v2/models/flights/versions/2/infer/"])
async def test_a_version_is_answered_by_the_arm_that_serves_it(path: str, start_server: StartServer, start_router: StartRouter) -> None:
    asked: Counter[str] = Counter()
    url = await start_router(service(await start_server(canary(asked, {"v1": ["1"], "v2": ["2"]})), *SHARES))
    body = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]}
    async with session(timeout_seconds=20) as client:
        for key in KEYS[:20]:
            async with client.post(url + path, json=body, headers={"Tidegate-Routing-Key": key}) as answer:
                assert (answer.status, answer.headers["Tidegate-Revision"]) == (200, "flights-v2")
                assert (await answer.json())["model_version"] == "2"
    # The metadata of each arm was read once: a revision does not change.
    assert max(asked["v1 GET /v2/models/flights"], asked["v2 GET /v2/models/flights"]) == 1
    assert not [line for line in asked if line.startswith("v1 POST")]


async def test_readiness_and_metadata_of_a_version_are_routed(start_server: StartServer, start_router: StartRouter) -> None:
    url = await start_router(service(await start_server(canary(Counter(), {"v1": ["1"], "v2": ["2", "3"]})), *SHARES))
    async with session(timeout_seconds=20) as client:
        for version, revision in (("1", "v1"), ("2", "v2"), ("3", "v2")):
            for path in ("", "/ready"):
                async with client.get(f"{url}/v2/models/flights/versions/{version}{path}") as answer:
                    assert (answer.status, answer.headers["Tidegate-Revision"]) == (200, f"flights-{revision}")
        async with client.get(f"{url}/v2/models/flights/versions/4") as answer:
            assert answer.status == 404
            assert (await answer.json())["error"] == "model flights has no version 4 here; known versions: 1, 2, 3."


async def test_metadata_lists_the_versions_of_all_arms(start_server: StartServer, start_router: StartRouter) -> None:
    url = await start_router(service(await start_server(canary(Counter(), {"v1": ["1"], "v2": ["2", "1"]})), *SHARES))
    async with session(timeout_seconds=20) as client:
        for path in ("", "/versions/2"):
            async with client.get(f"{url}/v2/models/flights{path}") as answer:
                assert sorted((await answer.json())["versions"]) == ["1", "2"]
        # A request that names a revision gets its versions only.
        async with client.get(f"{url}/v2/models/flights", headers={"Tidegate-Revision": "v1"}) as answer:
            assert (await answer.json())["versions"] == ["1"]


async def test_an_unreachable_arm_hides_no_version_of_the_other(start_server: StartServer, start_router: StartRouter) -> None:
    asked: Counter[str] = Counter()
    up = canary(asked, {"v1": ["1"], "v2": ["2"]})

    async def half(request: web.Request) -> web.StreamResponse:
        return web.json_response({"error": "starting"}, status=503) if request.host.startswith("v1") else await up(request)

    url = await start_router(service(await start_server(half), *SHARES))
    async with session(timeout_seconds=20) as client:
        async with client.get(f"{url}/v2/models/flights/versions/2/ready") as answer:
            assert answer.status == 200
        async with client.get(f"{url}/v2/models/flights", headers={"Tidegate-Routing-Key": key_of("v2")}) as answer:
            assert (await answer.json())["versions"] == ["2"]
        # The unreachable arm may serve it, so it is not reported as unknown.
        async with client.get(f"{url}/v2/models/flights/versions/9/ready") as answer:
            assert answer.status == 503


async def test_rows_with_keys_go_to_the_arms_of_their_version(start_server: StartServer, start_router: StartRouter) -> None:
    url = await start_router(service(await start_server(canary(Counter(), {"v1": ["1"], "v2": ["2"]})), *SHARES))
    column = {"name": "x", "shape": [len(KEYS)], "datatype": "FP32", "data": list(range(len(KEYS)))}
    body = {"parameters": {"routing_keys": KEYS}, "inputs": [column]}
    async with session(timeout_seconds=20) as client, client.post(f"{url}/v2/models/flights/versions/1/infer", json=body) as answer:
        outputs = {output["name"]: output["data"] for output in (await answer.json())["outputs"]}
    assert set(outputs["revision"]) == {"flights-v1"}
    assert len(outputs["late"]) == len(KEYS)


async def test_the_versions_of_a_single_arm_are_not_read(start_server: StartServer, start_router: StartRouter) -> None:
    asked: Counter[str] = Counter()
    url = await start_router(service(await start_server(canary(asked, {"v1": ["1"]})), ("v1", 100)))
    async with session(timeout_seconds=20) as client:
        async with client.get(f"{url}/v2/models/flights/versions/1/ready") as answer:
            assert answer.status == 200
        async with client.get(f"{url}/v2/models/flights/versions/2/ready") as answer:
            assert (answer.status, await answer.json()) == (404, {"error": "there is no version 2."})
    assert set(asked) == {"v1 GET /v2/models/flights/versions/1/ready", "v1 GET /v2/models/flights/versions/2/ready"}


async def test_the_repository_index_has_every_version(start_server: StartServer, start_router: StartRouter) -> None:
    port = await start_server(canary(Counter(), {"v1": ["1"], "v2": ["2", "1"]}))
    broken = {"metadata": {"name": "new"}, "spec": {}}
    url = await start_router(service(port, *SHARES), broken)
    async with session(timeout_seconds=20) as client:
        async with client.post(f"{url}/v2/repository/index") as answer:
            found: list[dict[str, Any]] = await answer.json()
        assert sorted((entry["name"], entry.get("version"), entry["state"]) for entry in found[:2]) == [
            ("flights", "1", "READY"),
            ("flights", "2", "READY"),
        ]
        assert (found[2]["name"], found[2]["state"], len(found)) == ("new", "UNAVAILABLE", 3)
        async with client.post(f"{url}/v2/repository/index", json={"ready": True}) as answer:
            assert {entry["name"] for entry in await answer.json()} == {"flights"}
        async with client.post(f"{url}/v2/repository/index", json={"ready": 1}) as answer:
            assert answer.status == 400


@pytest.mark.parametrize("metadata", [b"", b"[]", b"{}", b'{"versions": 1}', b'{"versions": [1]}'])
def test_malformed_metadata_has_no_versions(metadata: bytes) -> None:
    assert versions_of(metadata) == ()


def test_versions_are_appended_to_those_in_the_metadata() -> None:
    merged = with_versions(b'{"name": "a", "versions": ["2"]}', ["1", "2"])
    assert merged is not None
    assert orjson.loads(merged) == {"name": "a", "versions": ["2", "1"]}
    assert with_versions(b'{"name": "a"}', []) == b'{"name":"a"}'
    assert with_versions(b"[]", ["1"]) is None


async def test_a_new_version_under_the_same_revision_is_found(
    start_server: StartServer, start_router: StartRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On one machine a model is trained again under the same revision."""
    monkeypatch.setattr("functions.router.versions._FRESH_SECONDS", 0.0)
    versions = {"v1": ["1"], "v2": ["2"]}
    url = await start_router(service(await start_server(canary(Counter(), versions)), *SHARES))
    async with session(timeout_seconds=20) as client:
        async with client.get(f"{url}/v2/models/flights/versions/3") as answer:
            assert answer.status == 404
        versions["v2"] = ["3"]
        async with client.get(f"{url}/v2/models/flights/versions/3") as answer:
            assert answer.status == 200
