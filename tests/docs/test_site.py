"""The documentation as a site: no broken link, and no request of the browser to another host."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, async_playwright, expect

ROOT = Path(__file__).parents[2]
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# `--quiet` would hide warnings from `--strict`.
MKDOCS = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir"]


def build(folder: Path, root: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "NO_COLOR": "1"}
    environ.pop("TIDEGATE_REPOSITORY_URL", None)
    return subprocess.run([*MKDOCS, str(folder)], cwd=root, env=environ, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = build(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


class Assets(HTMLParser):
    """The assets that a browser fetches to show a page."""

    _ATTRIBUTES = ("src", "srcset", "data", "poster", "xlink:href", "action")

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value and (name in self._ATTRIBUTES or (tag == "link" and name == "href")):
                self.found.add(value)


def hosts(site: Path) -> Iterator[tuple[Path, str]]:
    for path in site.rglob("*.html"):
        parser = Assets()
        parser.feed(path.read_text("utf-8"))
        yield from ((path, asset) for asset in parser.found if urlsplit(asset).netloc)
    for path in [*site.rglob("*.css"), *site.rglob("*.svg")]:
        text = path.read_text("utf-8")
        yield from ((path, url) for url in re.findall(r"(?:url\(|@import\s*)[\"']?((?:https?:)?//[^\"')]*)", text))


def test_pages_load_no_external_asset(site: Path) -> None:
    assert (site / "index.html").exists()
    assert not list(hosts(site))


def test_site_has_every_page_of_the_repository(site: Path) -> None:
    for page in (ROOT / "docs").rglob("*.md"):
        assert (site / page.relative_to(ROOT / "docs").with_suffix("") / "index.html").exists()
    for page in (ROOT / "manifests").rglob("README.md"):
        assert (site / page.parent.relative_to(ROOT) / "index.html").exists()


def test_linked_source_is_shown_as_text(site: Path) -> None:
    (base,) = re.findall(r"ARG BASE=(\S+)", (ROOT / "functions/Dockerfile").read_text("utf-8"))
    shown = re.sub(r"<[^>]+>", "", (site / "functions/Dockerfile/index.html").read_text("utf-8"))
    assert base in shown


@pytest.mark.parametrize(
    "link",
    ["settings.md#no-such-heading", "no-such-page.md", "../functions/no_such_file.py", "/settings.md"],
    ids=["heading", "page", "source", "absolute"],
)
def test_broken_link_fails_the_build(tmp_path: Path, link: str) -> None:
    (tmp_path / "docs").mkdir()
    shutil.copy(ROOT / "docs/site.py", tmp_path / "docs")
    (tmp_path / "README.md").write_text("# Start\n\n[settings](docs/settings.md)\n")
    for name in ("CODE_OF_CONDUCT", "CONTRIBUTING", "SECURITY"):
        (tmp_path / f"{name}.md").write_text(f"# {name}\n")
    settings = tmp_path / "docs/settings.md"
    # The pages of this site alone are in its navigation.
    config = (ROOT / "mkdocs.yml").read_text("utf-8")
    head = re.sub(r"^(extra_css|watch): .*\n", "", config.partition("\nnav:\n")[0], flags=re.MULTILINE)
    names = ["README.md", "docs/settings.md", "CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "SECURITY.md"]
    (tmp_path / "mkdocs.yml").write_text(f"{head}\nnav: [{', '.join(names)}]\n", "utf-8")
    settings.write_text("# Settings\n\n[start](../README.md#start)\n")
    good = build(tmp_path / "site", tmp_path)
    assert good.returncode == 0, good.stdout + good.stderr
    settings.write_text(f"# Settings\n\n[nothing]({link})\n")
    assert build(tmp_path / "site", tmp_path).returncode != 0


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    if BROWSER is None:
        pytest.skip("there is no chromium on the PATH: install it.")
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield opened
        await opened.close()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address(site: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


async def test_diagrams_and_search_work_offline(browser: Browser, address: str) -> None:
    page = await browser.new_page()
    asked: set[str] = set()
    page.on("request", lambda request: asked.add(urlsplit(request.url).netloc))
    await page.goto(f"{address}/ARCHITECTURE/")
    await expect(page.locator(".diagram svg").first).to_be_visible()
    await page.get_by_placeholder("Search").click()
    await page.keyboard.type("TIDEGATE_MAX_ROWS")
    await expect(page.locator(".md-search-result__item").first).to_contain_text("Settings")
    assert asked == {urlsplit(address).netloc}


def test_ids_are_unique_on_a_page(site: Path) -> None:
    """Styles of one diagram would reach another of the same id."""
    ids = re.findall(r'<svg id="([^"]+)"', (site / "ARCHITECTURE/index.html").read_text("utf-8"))
    assert len(ids) > 1
    assert len(set(ids)) == len(ids)
