"""The page in a real browser, with a real function and a click on Execute."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from playwright.async_api import Page, Request, async_playwright, expect

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
INFER = ".opblock:has([data-path='/v2/models/loans/infer'])"


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    if BROWSER is None:
        pytest.skip("there is no chromium on the PATH: install it.")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=BROWSER,
            # Without the sandbox it can run as root in a container; the other options disable its background requests.
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
        )
        yield await browser.new_page()
        await browser.close()


async def test_page_sends_the_card_s_example(page: Page, model: Path, start_function: Callable[..., str]) -> None:
    url = start_function(model)
    asked: list[str] = []

    def note(request: Request) -> None:
        asked.append(request.url)

    page.on("request", note)
    await page.goto(f"{url}/docs")
    operation = page.locator(INFER)
    await operation.click()
    await operation.get_by_role("button", name="Try it out").click()
    body = json.loads(await operation.locator("textarea.body-param__text").input_value())
    assert {tensor["name"]: tensor["data"] for tensor in body["inputs"]} == {"age": [40], "sector": ["public"], "member": [True]}
    await operation.get_by_role("button", name="Execute").click()
    answer = operation.locator(".live-responses-table")
    await expect(answer.locator(".response-col_status").last).to_contain_text("200")
    await expect(answer).to_contain_text('"model_name": "loans"')
    assert [address for address in asked if not address.startswith((url, "data:"))] == []
