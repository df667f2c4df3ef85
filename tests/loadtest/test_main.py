"""Load tests in separate processes, since locust patches the sockets of its process."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from aiohttp import web


class Gateway:
    """A server on loopback that answers every request with one status, and records the requests."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.called = asyncio.Event()
        self.last: tuple[str, str, dict[str, Any]] = ("", "", {})

    async def answer(self, request: web.Request) -> web.Response:
        self.last = (request.host, request.path, await request.json())
        self.called.set()
        return web.json_response({"model_name": "flights", "outputs": []}, status=self.status)


@asynccontextmanager
async def _serve(gateway: Gateway) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/{path:.*}", gateway.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def _start(*arguments: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(sys.executable, "-m", "loadtest", *arguments, stdout=pipe, stderr=pipe)


async def _run(*arguments: str) -> tuple[int | None, str, str]:
    process = await _start(*arguments)
    output, errors = await process.communicate()
    return process.returncode, output.decode(), errors.decode()


async def test_both_scenarios_write_a_report(tmp_path: Path) -> None:
    gateway = Gateway(200)
    async with _serve(gateway) as url:
        status, output, errors = await _run("burst", "steady", "--url", url, "--users", "3", "--seconds", "1", "--out", str(tmp_path))
    assert status == 0, errors
    host, path, body = gateway.last
    assert (host, path) == ("flights.localhost", "/v2/models/flights/infer")
    assert body["inputs"]
    for scenario in ("burst", "steady"):
        report = json.loads((tmp_path / scenario / "report.json").read_text())
        assert (report["scenario"], report["url"], report["users"], report["failures"]) == (scenario, url, 3, 0)
        assert report["requests"] >= 3
        assert 0 < report["latency_ms"]["p50"] <= report["latency_ms"]["p99"] <= report["latency_ms"]["max"]
        picture = ET.parse(tmp_path / scenario / "plot.svg")  # noqa: S314 it is ours
        assert "latency, ms" in {text.strip() for text in picture.getroot().itertext()}
        assert str(tmp_path / scenario / "report.md") in output


async def test_rate_is_kept(tmp_path: Path) -> None:
    async with _serve(Gateway(200)) as url:
        await _run("steady", "--url", url, "--users", "2", "--rate", "10", "--seconds", "1", "--out", str(tmp_path))
    assert json.loads((tmp_path / "steady" / "report.json").read_text())["requests"] <= 12


async def test_failed_requests_are_counted_by_reason(tmp_path: Path) -> None:
    async with _serve(Gateway(503)) as url:
        status, _, _ = await _run("steady", "--url", url, "--users", "1", "--seconds", "1", "--out", str(tmp_path))
    report = json.loads((tmp_path / "steady" / "report.json").read_text())
    assert status == 1
    assert report["errors"] == {"status 503": report["requests"]}


async def test_ctrl_c_ends_the_run_and_keeps_the_samples(tmp_path: Path) -> None:
    gateway = Gateway(200)
    async with _serve(gateway) as url:
        process = await _start("steady", "--url", url, "--seconds", "600", "--out", str(tmp_path))
        await gateway.called.wait()
        process.send_signal(signal.SIGINT)
        _, errors = await process.communicate()
    assert process.returncode == 130
    assert b"Traceback" not in errors
    assert json.loads((tmp_path / "steady" / "report.json").read_text())["interrupted"] is True


async def test_another_machine_is_refused(tmp_path: Path) -> None:
    status, output, errors = await _run("steady", "--url", "http://192.0.2.1", "--out", str(tmp_path))
    assert (status, output) == (1, "")
    assert errors == "loadtest: 192.0.2.1 is not this machine; add --i-own-this-target if you may put load on it.\n"


async def test_wrong_use_has_its_own_exit_status(tmp_path: Path) -> None:
    assert (await _run("steady", "--users", "0"))[0] == 2
