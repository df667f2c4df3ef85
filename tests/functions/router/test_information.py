from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from playwright.async_api import async_playwright, expect
from prometheus_client.parser import text_string_to_metric_families
from yarl import URL

from common.http_client import session
from functions.router.metrics import Metrics

if TYPE_CHECKING:
    from tests.functions.router.conftest import StartRouter, StartServer

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def service(port: int, *tags: str) -> dict[str, Any]:
    traffic = [{"revisionName": f"flights-{tag}", "tag": tag, "percent": 100 // len(tags)} for tag in tags]
    status = {"address": {"url": f"http://flights.localhost:{port}"}, "traffic": traffic}
    return {"metadata": {"name": "flights"}, "spec": {}, "status": status}


async def revision(request: web.Request) -> web.StreamResponse:
    if request.path == "/openapi.json":
        return web.json_response({"openapi": "3.1.0", "info": {"title": "flights", "version": "1"}, "paths": {}})
    return web.json_response({"path": request.raw_path}, status=400 if b"bad" in await request.read() else 200)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        *(
            ("GET", path, 200)
            for path in ("/", "/v2", "/v2/health/live", "/v2/health/ready", "/v2/models", "/v1/models", "/metrics", "/docs")
        ),
        *(("HEAD", path, 200) for path in ("/", "/v2", "/openapi.json")),
        *(("POST", path, 200) for path in ("/v2/repository/index", "/v2/models/flights/infer", "/v1/models/flights:predict")),
        *(("GET", path, 200) for path in ("/v2/models/flights", "/v2/models/flights/ready", "/v1/models/flights")),
        *(("GET", path, 404) for path in ("/nothing", "/v2/nothing", "/models/flights/nothing")),
        *(("POST", path, 405) for path in ("/v2", "/metrics")),
        *(("GET", path, 405) for path in ("/v2/repository/index", "/v2/models/flights/infer", "/models/flights")),
    ],
)
async def test_a_trailing_slash_has_no_meaning(
    method: str, path: str, status: int, start_server: StartServer, start_router: StartRouter
) -> None:
    url = await start_router(service(await start_server(revision), "v1"))
    async with session(timeout_seconds=20) as client:
        async with client.get(f"{url}/v2/models") as answer:
            assert answer.status == 200, "it waits for the first list of models"
        for suffix in ("", "/") if path != "/" else ("",):
            async with client.request(method, url + path + suffix) as answer:
                assert answer.status == status, suffix
                if status == 405:
                    assert answer.headers["Allow"]


async def test_the_root_reports_liveness(start_router: StartRouter) -> None:
    async with session(timeout_seconds=20) as client, client.get(await start_router()) as answer:
        assert await answer.json() == {"status": "alive"}


async def test_metrics_count_requests_calls_and_retries(start_server: StartServer, start_router: StartRouter) -> None:
    words = [404]

    async def first_unknown(request: web.Request) -> web.StreamResponse:
        return web.Response(status=words.pop()) if words else await revision(request)

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


def test_latencies_are_kept_by_revision() -> None:
    metrics = Metrics()
    metrics.called("a", "a-1", 200, 0.2)
    metrics.called("a", "a-2", 0, 0.1)
    assert {key: histogram.sum for key, histogram in metrics.latencies.items()} == {("a", "a-1"): 0.2, ("a", "a-2"): 0.1}


async def test_the_document_names_the_models(start_server: StartServer, start_router: StartRouter) -> None:
    url = await start_router(service(await start_server(revision), "v1"))
    async with session(timeout_seconds=20) as client:
        async with client.get(f"{url}/v2/models/flights") as answer:
            assert answer.status == 200
        async with client.get(f"{url}/openapi.json") as answer:
            found = await answer.json()
        infer = found["paths"]["/v2/models/{model}/infer"]["post"]
        assert infer["parameters"][0]["schema"]["enum"] == ["flights"]
        async with client.get(f"{url}/models/flights/openapi.json") as answer:
            assert ((await answer.json())["info"]["title"], answer.headers["Tidegate-Revision"]) == ("flights", "flights-v1")


async def test_every_path_of_the_document_is_served(start_server: StartServer, start_router: StartRouter) -> None:
    url = await start_router(service(await start_server(revision), "v1"))
    event = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t"}
    async with session(timeout_seconds=20) as client:
        async with client.get(f"{url}/openapi.json") as answer:
            paths = (await answer.json())["paths"]
        assert len(paths) > 15
        for path, methods in paths.items():
            for method in methods:
                target = path.format(model="flights", version="1")
                async with client.request(method, url + target, headers=event) as answer:
                    assert answer.status == 200, (method, path)


async def test_a_request_is_sent_from_the_page(start_server: StartServer, start_router: StartRouter) -> None:
    if BROWSER is None:
        pytest.skip("there is no chromium on the PATH: install it.")
    url = await start_router(service(await start_server(revision), "v1"))
    async with async_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
        browser = await playwright.chromium.launch(executable_path=BROWSER, args=arguments)
        page = await browser.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        await page.goto(f"{url}/docs")
        operation = page.locator("details[data-operation='post /v2/models/{model}/infer']")
        await operation.locator("summary").click()
        assert await operation.get_by_label("model").input_value() == "flights"
        await operation.get_by_role("button", name="Send").click()
        await expect(operation.locator("pre")).to_contain_text("200 OK")
        await expect(operation.locator("pre")).to_contain_text("/v2/models/flights/infer")
        await page.get_by_label("Document").select_option(label="flights: its own document (starts its function)")
        await expect(page.locator("h1")).to_have_text("flights")
        assert [address for address in asked if not address.startswith((url, "data:"))] == []
        await browser.close()


async def test_an_override_can_be_switched_off(start_server: StartServer, start_router: StartRouter) -> None:
    url = await start_router(service(await start_server(revision), "v1", "v2"), allow_override=False)
    batch = {"content-type": "application/cloudevents-batch+json"}
    event = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t"}
    body = b'[{"specversion":"1.0","id":"1","source":"/s","type":"t","tidegaterevision":"v2"}]'
    async with session(timeout_seconds=20) as client:
        async with client.get(f"{url}/v2/models/flights", headers={"Tidegate-Revision": "v2"}) as answer:
            assert answer.status == 403
            assert "naming a revision is switched off here, but the request names 'v2'" in (await answer.json())["error"]
        for headers, content in ((batch, body), ({**event, "ce-tidegaterevision": "v2"}, b""), ({**event, "Tidegate-Revision": "v2"}, b"")):
            async with client.post(f"{url}/models/flights", data=content, headers=headers) as answer:
                assert (answer.status, answer.content_type) == (403, "application/problem+json")
        async with client.post(f"{url}/models/flights", data=b"", headers=event) as answer:
            assert answer.status == 200


async def test_dot_segments_are_refused(start_server: StartServer, start_router: StartRouter) -> None:
    url = await start_router(service(await start_server(revision), "v1"))
    async with session(timeout_seconds=20) as client:
        for path in (
            "/v2/models/flights/../../metrics",
            "/v2/models/flights/%2e%2e/infer",
            "/v2/models/flights%2finfer",
            "/..",
            "/v2/./models",
        ):
            async with client.get(URL(url + path, encoded=True)) as answer:
                assert answer.status == 400, path
