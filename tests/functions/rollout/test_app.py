"""The application over HTTP, between an API server and a sink."""

from __future__ import annotations

import asyncio
import io
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
import uvicorn
from aiohttp import web

from common.delivery import KNATIVE_RETRYABLE
from common.sockets import listen
from eventing.codecs import http
from eventing.codecs.http import Mode
from eventing.event import Event
from eventing.label import Label
from functions.rollout import announcements
from functions.rollout.app import MOST_BODY_BYTES, build
from functions.rollout.policy import POLICY
from functions.rollout.service import rollout_of
from functions.rollout.settings import Settings
from functions.rollout.state import Phase, State
from functions.runtime.knative.client import Access
from tests.functions.rollout.conftest import Api, Receiver
from tests.functions.rollout.services import POLICY_TEXT, Object, outcome, scored, service, with_rollout
from tidegate.local.apiserver.patch import merge

Carry = Callable[[], Awaitable[web.StreamResponse]]
PING = Event({"specversion": "1.0", "type": "dev.knative.sources.ping", "source": "/ping", "id": "1"})


class Caller:
    """Calls of the application."""

    def __init__(self, url: str, client: aiohttp.ClientSession) -> None:
        self._url = url
        self._client = client

    async def post(self, *events: Event, mode: Mode = Mode.BINARY) -> int:
        message = http.encode(events, mode)
        return await self.post_bytes(message.body, dict(message.headers))

    async def post_bytes(self, body: bytes, headers: dict[str, str]) -> int:
        async with self._client.post(self._url, data=io.BytesIO(body), headers=headers) as answer:
            await answer.read()
            return answer.status

    async def metric(self, name: str) -> float:
        async with self._client.get(f"{self._url}/metrics") as answer:
            found = re.search(rf"^{re.escape(name)} (\S+)$", await answer.text(), re.MULTILINE)
        return float(found[1]) if found else 0.0


@asynccontextmanager
async def serving(settings: Settings, access: Access) -> AsyncIterator[Caller]:
    """The application in a server of this process."""
    config = uvicorn.Config(build(settings, access), lifespan="on", log_config=None, ws="none")
    server = uvicorn.Server(config)
    with listen(0, "127.0.0.1") as listener:
        task = asyncio.create_task(server.serve(sockets=[listener]))
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as client:
            yield Caller(f"http://127.0.0.1:{listener.getsockname()[1]}", client)
        server.should_exit = True
        await task


@pytest.fixture
def settings(sink: Receiver) -> Settings:
    return Settings(sink=sink.url, gather_seconds=0)


@pytest.fixture
async def app(stack: AsyncExitStack, api: Api, settings: Settings) -> Caller:
    return await stack.enter_async_context(serving(settings, api.access))


@pytest.fixture
def now() -> float:
    return time.time()


@pytest.fixture
def item(api: Api, now: float) -> Object:
    return api.put(with_rollout(now=now))


@pytest.fixture
def waiting_item(api: Api, now: float) -> Object:
    """A Service whose rollout gives a good canary no more traffic."""
    return api.put(with_rollout(service(annotations={POLICY: f"{POLICY_TEXT[:-1]}, paused: true}}"}), now=now))


def state_of(api: Api, name: str = "flights") -> State:
    state = rollout_of(api.service(name))
    assert state is not None
    return state


class Patches:
    """Counts the patches, and holds them until `go`."""

    def __init__(self) -> None:
        self.count = 0
        self.go = asyncio.Event()
        self.first = asyncio.Event()

    async def __call__(self, _: web.Request, carry: Carry) -> web.StreamResponse:
        self.count += 1
        self.first.set()
        await self.go.wait()
        return await carry()


@pytest.mark.parametrize("mode", list(Mode))
async def test_each_mode_of_an_event_is_taken(api: Api, app: Caller, item: Object, now: float, mode: Mode) -> None:
    events = [outcome(item, number, keys=[number], started=now).to_event() for number in range(1, 4 if mode is Mode.BATCH else 2)]
    assert await app.post(*events, mode=mode) == 204
    assert state_of(api).canary_counts.requests == len(events)


async def test_outcomes_that_wait_share_one_write(api: Api, app: Caller, item: Object, now: float) -> None:
    api.gate = patches = Patches()
    first = asyncio.create_task(app.post(outcome(item, 1, keys=[1], started=now).to_event()))
    await patches.first.wait()
    rest = [asyncio.create_task(app.post(outcome(item, number, keys=[number], started=now).to_event())) for number in range(2, 22)]
    async with asyncio.timeout(30):
        while await app.metric("tidegate_rollout_waiting_outcomes") < 21:
            pass
    assert not [task for task in rest if task.done()], "an outcome is acknowledged before it is written"
    patches.go.set()
    assert set(await asyncio.gather(first, *rest)) == {204}
    assert state_of(api).canary_counts.requests == 21
    assert patches.count == 2


async def test_same_outcome_again_is_acknowledged_and_counted_once(api: Api, app: Caller, item: Object, now: float) -> None:
    event = outcome(item, 1, keys=[1], started=now).to_event()
    assert [await app.post(event), await app.post(event), await app.post(event, event, mode=Mode.BATCH)] == [204, 204, 204]
    assert state_of(api).canary_counts.requests == 1


async def test_change_by_another_writer_is_kept(api: Api, app: Caller, item: Object, now: float) -> None:
    changes = iter(range(3))

    async def interfere(_: web.Request, carry: Carry) -> web.StreamResponse:
        if (number := next(changes, None)) is not None:
            api.store.update("services", merge(api.service(), {"metadata": {"labels": {f"label-{number}": "x"}}}))
        return await carry()

    api.gate = interfere
    assert await app.post(outcome(item, 1, keys=[1], started=now).to_event()) == 204
    assert state_of(api).canary_counts.requests == 1
    assert len(api.service()["metadata"]["labels"]) == 3
    assert await app.metric('tidegate_rollout_writes_total{result="conflict"}') == 3


async def test_service_that_never_stops_changing_is_tried_again_later(api: Api, app: Caller, item: Object, now: float) -> None:
    async def interfere(_: web.Request, carry: Carry) -> web.StreamResponse:
        api.store.update("services", merge(api.service(), {"metadata": {"labels": {"time": str(time.monotonic_ns())}}}))
        return await carry()

    api.gate = interfere
    event = outcome(item, 1, keys=[1], started=now).to_event()
    assert await app.post(event) == 503
    api.gate = None
    assert await app.post(event) == 204
    assert state_of(api).canary_counts.requests == 1


@pytest.mark.parametrize("status", [403, 500])
async def test_api_that_fails_is_tried_again_later(api: Api, app: Caller, item: Object, now: float, status: int) -> None:
    async def fail(_: web.Request, __: Carry) -> web.StreamResponse:
        return web.json_response({"message": "no"}, status=status)

    api.gate = fail
    event = outcome(item, 1, keys=[1], started=now).to_event()
    assert await app.post(event) == 503
    api.gate = None
    assert await app.post(event) == 204
    assert state_of(api).canary_counts.requests == 1


async def test_api_that_cannot_be_reached_is_tried_again_later(item: Object, now: float, settings: Settings, tmp_path: Path) -> None:
    with listen(0, "127.0.0.1") as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    async with serving(settings, Access(url, "default")) as app:
        assert await app.post(outcome(item, 1, keys=[1], started=now).to_event()) == 503
        assert await app.post(PING) == 503
    async with serving(settings, Access(url, "default", token_file=tmp_path / "none")) as app:
        assert await app.post(outcome(item, 1, keys=[1], started=now).to_event()) == 503


async def test_outcomes_without_a_rollout_are_acknowledged_and_counted(api: Api, app: Caller, item: Object, now: float) -> None:
    api.gate = patches = Patches()
    api.put(service("quiet"))
    unknown = replace(outcome(item, 1, started=now), model="unknown").to_event()
    quiet = replace(outcome(item, 1, started=now), model="quiet").to_event()
    assert [await app.post(unknown), await app.post(quiet)] == [204, 204]
    assert patches.count == 0
    assert await app.metric('tidegate_rollout_outcomes_total{result="no-rollout"}') == 2


async def test_labels_without_a_rollout_are_acknowledged_without_a_look_for_each(api: Api, app: Caller, item: Object, now: float) -> None:
    api.gate = patches = Patches()
    api.put(service("quiet"))
    labels = [Label(model=name, value=1, key=str(number)).to_event() for name in ("quiet", "unknown") for number in range(10)]
    assert {await app.post(label) for label in labels} == {204}
    assert await app.post(*labels, mode=Mode.BATCH) == 204
    assert (patches.count, api.calls) == (0, 2)
    assert await app.metric('tidegate_rollout_labels_total{result="no-rollout"}') == 40

    # A rollout that begins is found by its outcomes, which labels need in any case.
    api.gate = None
    begun = api.put(with_rollout(service("quiet"), now=now))
    assert await app.post(scored(begun, 1, {"a": 0.9, "b": 0.9}, {"a"}, started=now).to_event()) == 204
    assert await app.post(Label(model="quiet", value=1, key="a").to_event()) == 204
    assert state_of(api, "quiet").correctness.loss.canary.keys == 1


async def test_label_that_comes_with_its_outcome_counts(api: Api, app: Caller, item: Object, now: float) -> None:
    events = [Label(model="flights", value=1, key="a").to_event(), scored(item, 1, {"a": 0.9}, {"a"}, started=now).to_event()]
    assert await app.post(*events, mode=Mode.BATCH) == 204
    assert state_of(api).correctness.loss.canary.keys == 1
    assert await app.metric('tidegate_rollout_labels_total{result="applied"}') == 1


def broken(item: Object) -> dict[str, tuple[bytes, dict[str, str]]]:
    event = outcome(item, 1, keys=[1]).to_event()
    other_type = http.encode([event.with_attributes(type="com.example.other")], Mode.BINARY)
    half = http.encode([event, event.with_attributes(subject="other")], Mode.BATCH)
    attributes = dict(http.encode([event], Mode.BINARY).headers)
    return {
        "no event": (b"{}", {"content-type": "application/json"}),
        "another type": (other_type.body, dict(other_type.headers)),
        "no outcome": (b'{"router": 1}', attributes),
        "no JSON": (b"\xff", attributes),
        "no label": (b'{"model": "flights", "value": 1}', {**attributes, "ce-type": "dev.tidegate.outcome.labelled"}),
        "a batch with an invalid event": (half.body, dict(half.headers)),
        "an unknown format": (b"", {"content-type": "application/cloudevents+avro"}),
        "too large": (b" " * (MOST_BODY_BYTES + 1), attributes),
    }


@pytest.mark.parametrize("fault", broken(with_rollout()))
async def test_invalid_event_is_never_sent_again(api: Api, app: Caller, item: Object, fault: str) -> None:
    status = await app.post_bytes(*broken(item)[fault])
    assert 400 <= status < 500
    assert status not in KNATIVE_RETRYABLE
    assert state_of(api).canary_counts.requests == 0


async def test_too_many_outcomes_are_sent_again_later(api: Api, settings: Settings, item: Object, now: float) -> None:
    api.gate = patches = Patches()
    async with serving(replace(settings, max_waiting_outcomes=1), api.access) as app:
        first = asyncio.create_task(app.post(outcome(item, 1, keys=[1], started=now).to_event()))
        await patches.first.wait()
        assert await app.post(outcome(item, 2, keys=[2], started=now).to_event()) == 429
        patches.go.set()
        assert await first == 204
        assert await app.post(outcome(item, 2, keys=[2], started=now).to_event()) == 204


async def test_ping_finds_the_deadline_of_each_rollout_without_traffic(api: Api, app: Caller, sink: Receiver, now: float) -> None:
    policy = {POLICY: "{steps: [50, 100], minimumDuration: 0, deadline: 60, atDeadline: roll-back}"}
    for name in ("flights", "trains"):
        api.put(with_rollout(service(name, policy), now=now - 100))
    api.put(service("quiet"))
    assert await app.post(PING) == 204
    for name in ("flights", "trains"):
        assert state_of(api, name).phase is Phase.ROLLED_BACK
    await sink.has(2)
    assert {event.type for event in sink.events} == {"dev.tidegate.rollout.inconclusive"}
    assert {event.get("subject") for event in sink.events} == {"flights", "trains"}


async def test_decision_is_delivered_when_the_sink_is_back(api: Api, sink: Receiver, settings: Settings, item: Object, now: float) -> None:
    sink.status = 503
    async with serving(settings, api.access) as app:
        assert await app.post(outcome(item, 1, keys=range(40), failed=range(40), started=now).to_event()) == 204
        await sink.has(1)
    assert len(announcements.waiting(api.service())) == 1
    sink.status = 204
    async with serving(settings, api.access) as app:
        assert await app.post(PING) == 204
        await sink.has(2)
        await api.until(lambda: not announcements.waiting(api.service()))
    assert sink.events[0] == sink.events[1]
    assert api.reasons == ["RolloutRolledBack"]


async def test_event_that_the_sink_rejects_is_given_up(api: Api, app: Caller, sink: Receiver, item: Object, now: float) -> None:
    sink.status = 400
    assert await app.post(outcome(item, 1, keys=range(40), failed=range(40), started=now).to_event()) == 204
    await api.until(lambda: not announcements.waiting(api.service()))
    assert await app.metric('tidegate_rollout_deliveries_total{result="rejected"}') == 1


@pytest.mark.parametrize("status", [400, 403, 422])
async def test_event_that_kubernetes_refuses_holds_no_cloudevent_back(
    api: Api, app: Caller, sink: Receiver, item: Object, now: float, status: int
) -> None:
    api.status_of_events = status
    assert await app.post(outcome(item, 1, keys=range(40), failed=range(40), started=now).to_event()) == 204
    await api.until(lambda: not announcements.waiting(api.service()))
    assert [event.type for event in sink.events] == ["dev.tidegate.rollout.rolledback"]
    assert api.reasons == []


async def test_cloudevent_is_sent_once_while_kubernetes_takes_no_events_now(
    api: Api, app: Caller, sink: Receiver, item: Object, now: float
) -> None:
    api.status_of_events = 500
    assert await app.post(outcome(item, 1, keys=range(40), failed=range(40), started=now).to_event()) == 204
    await sink.has(1)
    for _ in range(3):
        assert await app.post(PING) == 204
    assert len(announcements.waiting(api.service())) == 1
    api.status_of_events = 0
    while announcements.waiting(api.service()):  # it pauses after a failure
        assert await app.post(PING) == 204
    assert api.reasons == ["RolloutRolledBack"]
    assert len(sink.events) == 1


async def test_events_of_kubernetes_do_not_wait_for_the_sink(
    api: Api, app: Caller, sink: Receiver, waiting_item: Object, now: float
) -> None:
    sink.status = 503
    assert await app.post(outcome(waiting_item, 1, keys=range(10), started=now).to_event()) == 204
    await sink.has(1)
    assert await app.post(outcome(waiting_item, 2, keys=range(40, 80), failed=range(40, 80), started=now).to_event()) == 204
    await api.until(lambda: len(api.reasons) == 2)
    assert sorted(api.reasons) == ["RolloutHeld", "RolloutRolledBack"]
    assert len(announcements.waiting(api.service())) == 2


async def test_batch_of_any_size_is_taken_in_parts(api: Api, settings: Settings, waiting_item: Object, now: float) -> None:
    events = [outcome(waiting_item, number, keys=[number], started=now).to_event() for number in range(1, 1_101)]
    async with serving(settings, api.access) as app:
        assert await app.post(*events, mode=Mode.BATCH) == 204
        assert state_of(api).canary_counts.requests == 1_100
        assert await app.metric('tidegate_rollout_writes_total{result="written"}') > 1
        assert await app.metric("tidegate_rollout_waiting_outcomes") == 0


async def test_forged_and_replayed_outcomes_are_counted_and_change_nothing(api: Api, app: Caller, item: Object, now: float) -> None:
    genuine = outcome(item, 1, keys=[1], started=now)
    assert await app.post(genuine.to_event()) == 204
    evil = outcome(item, 1, keys=range(40), failed=range(40), started=now, router="evil")
    forged = [replace(evil, rollout="another"), replace(evil, started=now - 1e6), replace(evil, started=now + 1e6)]
    for one in [genuine, *forged, *(replace(evil, model=name) for name in ("unknown", ".", "..", "../services/flights"))]:
        assert await app.post(one.to_event()) == 204
    state = state_of(api)
    assert (state.canary_counts.requests, state.canary_counts.errors, state.running) == (1, 0, True)
    assert {reason.value: count for reason, count in state.ignored.items() if count} == {
        "duplicate": 1, "foreign": 1, "early": 1, "future": 1}  # fmt: skip
    assert await app.metric('tidegate_rollout_outcomes_total{result="ignored"}') == 4
    assert await app.metric('tidegate_rollout_outcomes_total{result="applied"}') == 1
    assert await app.metric('tidegate_rollout_outcomes_total{result="no-rollout"}') == 4


async def test_outcome_whose_event_is_from_another_service_is_refused(api: Api, app: Caller, item: Object, now: float) -> None:
    event = outcome(item, 1, keys=range(40), failed=range(40), started=now).to_event()
    assert await app.post(event.with_attributes(source="/tidegate/rollouts/default/flights")) == 400
    assert state_of(api).canary_counts.requests == 0


async def test_two_instances_at_once_count_each_outcome_once(
    api: Api, settings: Settings, sink: Receiver, waiting_item: Object, now: float
) -> None:
    item = waiting_item
    async with serving(settings, api.access) as one, serving(settings, api.access) as other:

        async def send(sequence: int) -> None:
            event = outcome(item, sequence, keys=[sequence], started=now).to_event()
            while await (one, other)[sequence % 2].post(event) != 204:  # a Broker sends again
                pass

        await asyncio.gather(*(send(sequence) for sequence in range(1, 13)), *(send(sequence) for sequence in range(1, 7)))
        assert state_of(api).canary_counts.requests == 12
        failing = outcome(item, 13, keys=range(100, 140), failed=range(100, 140), started=now).to_event()
        assert {await one.post(failing), await other.post(failing)} == {204}
        assert [await one.post(PING), await other.post(PING)] == [204, 204]
        await api.until(lambda: not announcements.waiting(api.service()))
    assert state_of(api).canary_counts.errors == 40
    assert sorted(api.reasons) == ["RolloutHeld", "RolloutRolledBack"]
    assert len({event.id for event in sink.events}) == 2


async def test_service_that_is_deleted_in_a_turn_has_no_rollout(api: Api, app: Caller, item: Object, now: float) -> None:
    async def delete_first(_: web.Request, carry: Carry) -> web.StreamResponse:
        api.store.delete("services", "flights")
        return await carry()

    api.gate = delete_first
    event = outcome(item, 1, keys=[1], started=now).to_event()
    assert await app.post(event) == 204
    api.gate = None
    assert await app.post(event) == 204
    assert await app.metric('tidegate_rollout_outcomes_total{result="no-rollout"}') == 2
    api.put(service())
    assert await app.post(event) == 204
    assert rollout_of(api.service()) is None


async def test_annotations_without_room_for_the_state_are_an_event_for_a_person(api: Api, app: Caller, now: float) -> None:
    item = api.put(with_rollout(service(annotations={"example.com/large": "x" * 256 * 1024}), now=now))
    event = outcome(item, 1, keys=[1], started=now).to_event()
    assert [await app.post(event), await app.post(event)] == [503, 503]
    (found,) = api.store.list("events")
    assert found["reason"] == "RolloutNotPossible"
    assert "metadata.annotations must have at most 262144 bytes" in found["message"]
    api.store.update("services", merge(api.service(), {"metadata": {"annotations": {"example.com/large": None}}}))
    assert await app.post(event) == 204
    assert state_of(api).canary_counts.requests == 1


async def test_unreadable_policy_is_one_event_of_kubernetes(api: Api, app: Caller, now: float) -> None:
    item = api.put(with_rollout(now=now))
    api.store.update("services", merge(api.service(), {"metadata": {"annotations": {POLICY: "steps: [a]"}}}))
    for sequence in (1, 2):
        assert await app.post(outcome(item, sequence, keys=[sequence], started=now).to_event()) == 204
    (event,) = api.store.list("events")
    assert event["reason"] == "RolloutNotPossible"
    assert "steps" in event["message"]
    assert state_of(api).canary_counts.requests == 2
