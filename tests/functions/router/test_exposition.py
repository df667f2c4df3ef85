from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families

from common.http_client import session
from tests.functions.router.flights import respond, service

if TYPE_CHECKING:
    from tests.functions.router.conftest import StartRouter, StartServer


async def test_metrics_of_requests_calls_and_retries_are_exposed(start_server: StartServer, start_router: StartRouter) -> None:
    words = [404]

    async def first_unknown(request: web.Request) -> web.StreamResponse:
        return web.Response(status=words.pop()) if words else await respond(request)

    url = await start_router(service(await start_server(first_unknown), "v1"))
    async with session(timeout_seconds=20) as client:
        for body in (b"{}", b"bad", b"{}"):
            async with client.post(f"{url}/v2/models/flights/infer", data=body) as answer:
                await answer.read()
        async with client.get(f"{url}/v2/models/a-guess") as answer:
            assert answer.status == 404
        async with client.get(f"{url}/metrics") as answer:
            assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
            families = {family.name: family for family in text_string_to_metric_families(await answer.text())}
    found = {(sample.name, *sample.labels.values()): sample.value for family in families.values() for sample in family.samples}
    assert found["tidegate_router_requests_total", "flights", "2xx"] == 2
    assert found["tidegate_router_requests_total", "flights", "4xx"] == 1
    assert found["tidegate_router_requests_total", "", "4xx"] == 1, "a name that a caller invents is no label"
    assert found["tidegate_router_calls_total", "flights", "flights-v1", "2xx"] == 2
    assert found["tidegate_router_calls_total", "flights", "flights-v1", "none"] == 1
    assert found["tidegate_router_call_duration_seconds_count", "flights", "flights-v1"] == 4
    assert found["tidegate_router_retries_total", "flights"] == 1
    assert found["tidegate_router_body_bytes",] == 0
    assert found["tidegate_router_models",] == 1
    assert 0 <= found["tidegate_router_table_age_seconds",] < 60
    assert found["process_resident_memory_bytes",] > 1_000_000
