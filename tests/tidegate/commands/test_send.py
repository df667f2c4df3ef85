"""`tidegate send` and what `tidegate status` has to do with events, on a real `tidegate up`."""

from __future__ import annotations

import asyncio
import glob
import json
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from common import http_client
from functions.runtime.knative.objects import condition
from tests.tidegate.local.eventing.jobs.test_up import job_sink
from tidegate.local.state import is_alive
from tidegate.local.up import Up, UpSettings, up

Tidegate = Callable[..., subprocess.CompletedProcess[str]]
Command = Callable[..., Any]
Object = dict[str, Any]

# Answers an event of the type `ask` with another one, refuses `bad`, and takes everything else.
FUNCTION = """
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        kind = self.headers.get("ce-type")
        body = b'{"answer": 42}' if kind == "ask" else b""
        self.send_response({"bad": 400, "ask": 200}.get(kind, 204))
        if body:
            reply = {"specversion": "1.0", "id": "r-" + self.headers["ce-id"], "source": "/fn", "type": "answered"}
            for name, value in reply.items():
                self.send_header("ce-" + name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
SERVICE_REF = {"ref": {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "fn"}}
SINK_REF = {"ref": {"apiVersion": "sinks.knative.dev/v1alpha1", "kind": "JobSink", "name": "work"}}


def service() -> Object:
    spec = {"template": {"spec": {"containers": [{"image": "fn", "command": ["python", "-c", FUNCTION]}]}}}
    return {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": {"name": "fn"}, "spec": spec}


def broker(name: str = "events") -> Object:
    return {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "metadata": {"name": name}, "spec": {}}


def trigger(name: str, *types: str, subscriber: Object) -> Object:
    filters = [{"any": [{"exact": {"type": type_}} for type_ in types]}]
    spec = {"broker": "events", "filters": filters, "subscriber": subscriber}
    return {"apiVersion": "eventing.knative.dev/v1", "kind": "Trigger", "metadata": {"name": name}, "spec": spec}


OBJECTS = (
    service(),
    broker(),
    trigger("asked", "ask", "bad", subscriber=SERVICE_REF),
    trigger("answers", "answered", "go", subscriber=SINK_REF),
    job_sink("pass"),
    job_sink("raise SystemExit(3)", "broken", backoffLimit=0),
)


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Up]:
    async with up(UpSettings(manifests=OBJECTS, port=0, state_dir=tmp_path / "state", project_root=tmp_path)) as running:
        store = running.controller.store
        async with asyncio.timeout(30):
            while any((condition(item, "Ready") or {}).get("status") != "True" for item in store.list("triggers")):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        yield running


@pytest.fixture
def call(here: Up, tidegate: Tidegate, tmp_path: Path) -> Command:
    """Run a command beside `tidegate up`."""
    return lambda *arguments: asyncio.to_thread(tidegate, *arguments, TIDEGATE_STATE_DIR=str(tmp_path / "state"), COLUMNS="200")


async def sent(call: Command, *arguments: str) -> Object:
    done = await call("send", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    found: Object = json.loads(done.stdout)
    return found


async def test_event_is_followed_through_the_broker_with_its_reply_and_the_job_that_it_starts(call: Command) -> None:
    found = await sent(call, "ask", "--data", '{"n": 1}', "--id", "1", "--set", "partitionkey=a", "--subject", "s")
    assert (found["status"], found["receiver"]["kind"], found["receiver"]["name"]) == (202, "Broker", "events")
    event = found["event"]
    assert {"id": "1", "source": "/tidegate/send", "partitionkey": "a", "subject": "s"}.items() <= event.items()
    steps = {(step["event"]["type"], step["trigger"]): step for step in found["deliveries"]}
    outcomes = {key: step["outcome"] for key, step in steps.items()}
    assert outcomes == {
        ("ask", "asked"): "delivered",
        ("ask", "answers"): "filtered",
        ("answered", "asked"): "filtered",
        ("answered", "answers"): "delivered",
    }
    first, second = steps["ask", "asked"], steps["answered", "answers"]
    assert (first["status"], first["attempts"], first["reply"]) == (200, 1, {"source": "/fn", "id": "r-1", "type": "answered"})
    assert second["status"] == 202
    assert second["job"].startswith("work-")


async def test_event_sent_again_is_not_taken_for_the_earlier_one(call: Command) -> None:
    for _ in range(2):
        found = await sent(call, "ask", "--id", "same")
        assert [step["outcome"] for step in found["deliveries"] if step["trigger"] == "asked"] == ["delivered", "filtered"]


async def test_lost_event_fails_with_its_cause(call: Command) -> None:
    done = await call("send", "bad")
    assert done.returncode == 1
    assert "accepted by the Broker events: 202 after" in done.stdout
    assert "Trigger answers: filtered" in done.stdout
    assert "tidegate: the Trigger asked has lost the event: http://fn." in done.stderr
    assert done.stderr.endswith("answered 400.\n")


async def test_service_answers_with_its_reply(call: Command) -> None:
    found = await sent(call, "ask", "--to", "fn", "--id", "7")
    assert found["receiver"]["kind"] == "Service"
    assert (found["reply"]["id"], found["reply"]["data"]) == ("r-7", {"answer": 42})
    shown = await call("send", "ask", "--to", "ksvc:fn/any/path")
    assert "replied answered" in shown.stdout
    assert '{"answer": 42}' in shown.stdout


async def test_service_that_refuses_the_event_is_named(call: Command) -> None:
    done = await call("send", "bad", "--to", "fn")
    assert (done.returncode, done.stderr) == (1, "tidegate: the Service fn answered 400.\n")
    assert "refused by the Service fn: 400" in done.stdout


async def test_job_sink_shows_its_job_until_its_end(call: Command, here: Up) -> None:
    found = await sent(call, "go", "--to", "work", "--data", "null")
    assert found["job"]["outcome"] == "Complete"
    assert here.controller.store.get("jobs", found["job"]["name"])["status"]["succeeded"] == 1
    assert f"/namespaces/default/name/{SINK_REF['ref']['name']}/sources/" in found["job"]["location"]
    done = await call("send", "go", "--to", "broken", "--id", "1")
    assert done.returncode == 1
    assert ": failed after" in done.stdout
    logs = done.stderr.rpartition("has failed; its logs are ")[2].removesuffix(".\n")
    assert glob.glob(logs)  # noqa: PTH207 as a shell does with the path of the message


async def test_trigger_that_is_not_ready_is_named_and_not_waited_for(call: Command, here: Up) -> None:
    here.apply(trigger("orphan", "ask", subscriber={"ref": {**SERVICE_REF["ref"], "name": "missing"}}))
    found = await sent(call, "ask", "--wait", "60")
    (orphan,) = (step for step in found["deliveries"] if step["trigger"] == "orphan" and step["event"]["type"] == "ask")
    assert orphan["outcome"] == "not ready"
    assert '"missing" not found' in orphan["reason"]


async def test_data_comes_from_a_file_or_standard_input(call: Command, tmp_path: Path) -> None:
    (tmp_path / "data.txt").write_text("not JSON")
    found = await sent(call, "note", "--data", f"@{tmp_path / 'data.txt'}", "--content-type", "text/plain", "--to", "fn")
    assert (found["status"], found["event"]["datacontenttype"]) == (204, "text/plain")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--to", "event"], "no receiver is named event; use the Broker events."),
        (["--to", "ksvc:x"], "no Service is named x; use one of these: Broker events, Service fn, JobSink broken, JobSink work."),
    ],
    ids=["near", "kind"],
)
async def test_unknown_receiver_is_one_sentence(call: Command, arguments: list[str], sentence: str) -> None:
    done = await call("send", "t", *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"tidegate: {sentence}\n")


def test_send_without_tidegate_up_is_one_sentence(tidegate: Tidegate, tmp_path: Path) -> None:
    done = tidegate("send", "t", TIDEGATE_STATE_DIR=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.startswith("tidegate: no tidegate is running here")


async def test_status_shows_brokers_triggers_and_jobs_with_counts(call: Command, here: Up) -> None:
    await sent(call, "ask")
    document = json.loads((await call("status", "--json")).stdout)["eventing"]
    receivers = {item["name"]: item for item in document["receivers"]}
    assert (receivers["events"]["events"], receivers["events"]["ready"], receivers["work"]["events"]) == (2, True, None)
    assert receivers["events"]["address"].endswith("/default/events")
    triggers = {item["name"]: item for item in document["triggers"]}
    assert {"broker": "events", "delivered": 1, "filtered": 1, "lost": 0, "replies": 1}.items() <= triggers["asked"].items()
    assert [job["sink"] for job in document["jobs"]] == ["work"]
    lines = [line.split() for line in (await call("status")).stdout.splitlines()]
    (asked,) = (line for line in lines if line[0] == "asked")
    assert asked[:6] == ["asked", "events", "yes", "1", "delivered,", "1"]


async def test_page_of_the_gateway_lists_addresses_that_accept_events(here: Up) -> None:
    async with http_client.session(timeout_seconds=30) as client:
        async with client.get(here.running.gateway) as response:
            addresses = {item["name"]: item["address"] for item in (await response.json())["receivers"]}
        async with client.get(here.running.gateway, headers={aiohttp.hdrs.ACCEPT: "text/html"}) as response:
            page = await response.text()
    assert addresses.keys() == {"events", "work", "broken"}
    assert all(address in page for address in addresses.values())


async def test_wait_is_bounded_and_names_what_has_not_finished(call: Command, here: Up) -> None:
    here.apply(job_sink("import time; time.sleep(600)", "slow"))
    done = await call("send", "go", "--to", "slow", "--wait", "0.2")
    assert done.returncode == 0
    assert "tidegate: after 0.2 s, the Job slow-" in done.stderr
    assert "had not finished; see `tidegate status`." in done.stderr
    (job,) = json.loads((await call("status", "--json")).stdout)["eventing"]["jobs"]
    (pod,) = job["pods"]
    assert pod["name"].startswith(f"{job['name']}-")
    assert is_alive(pod["pid"])
