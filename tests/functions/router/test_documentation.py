"""The OpenAPI document of the router, and its page in a browser."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import async_playwright, expect

from common.http_client import session
from tests.functions.router.flights import respond, service

if TYPE_CHECKING:
    from tests.functions.router.conftest import StartRouter, StartServer

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


async def test_the_document_names_the_models(start_server: StartServer, start_router: StartRouter) -> None:
    url = await start_router(service(await start_server(respond), "v1"))
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
    url = await start_router(service(await start_server(respond), "v1"))
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
    url = await start_router(service(await start_server(respond), "v1"))
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
