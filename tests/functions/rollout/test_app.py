from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from threading import Event as Gate
from typing import Any

import pytest
from fastapi.testclient import TestClient

from eventing.codecs import http
from eventing.event import Event
from eventing.outcome import Outcome
from functions.rollout.app import build
from functions.rollout.cluster import ClusterUnavailable
from functions.rollout.codec import STATE
from functions.rollout.sink import Sink
from functions.rollout.state import Kind, Phase
from functions.rollout.turns import Turns
from tests.functions.rollout.cluster import FakeCluster
from tests.functions.rollout.examples import STABLE, STARTED

ALARM = list(range(0, 2**32, 2**26))


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def client(cluster: FakeCluster) -> Iterator[TestClient]:
    with TestClient(build(cluster, clock=lambda: STARTED + 100), raise_server_exceptions=False) as found:
        yield found


def refuse(*_: object) -> None:
    raise ClusterUnavailable("the Kubernetes API responded 403 Forbidden")


def post(client: TestClient, event: Event, mode: http.Mode = http.Mode.BINARY) -> Any:
    message = http.encode([event], mode)
    return client.post("/", content=message.body, headers=dict(message.headers))


@pytest.mark.parametrize("mode", [http.Mode.BINARY, http.Mode.STRUCTURED])
def test_an_outcome_is_answered_after_it_is_written_and_its_decision_is_reported(
    client: TestClient, cluster: FakeCluster, mode: http.Mode
) -> None:
    answer = post(client, cluster.outcome(canary=ALARM).to_event(), mode)

    assert (answer.status_code, answer.content) == (204, b"")
    assert cluster.split == {STABLE: 100}
    assert cluster.state.phase is Phase.ROLLED_BACK
    assert [decision.kind for decision in cluster.recorded] == [Kind.ROLL_BACK]


def test_an_outcome_that_is_delivered_again_is_accepted_and_changes_nothing(client: TestClient, cluster: FakeCluster) -> None:
    event = cluster.outcome(canary=[1]).to_event()
    assert [post(client, event).status_code for _ in range(3)] == [204, 204, 204]

    assert cluster.state.comparisons["errors"].canary == 1


def test_a_ping_lets_time_go_on(client: TestClient, cluster: FakeCluster) -> None:
    ping = {"specversion": "1.0", "type": "dev.knative.sources.ping", "source": "/ping", "id": "1"}
    assert post(client, Event(ping, None)).status_code == 204

    assert cluster.state.elapsed == 100.0


@pytest.mark.parametrize(
    ("headers", "body", "sentence"),
    [
        ({}, b"{}", "the request is not one CloudEvent; send an event of type dev.tidegate.outcome.observed."),
        ({"content-type": "application/cloudevents-batch+json"}, b"[]", "the request is not one CloudEvent"),
        ({"content-type": "application/cloudevents+json"}, b"{", "JSON"),
        ({"content-type": "application/cloudevents+json"}, b" " * 2_000_000, "the event has more than 1048576 bytes"),
        (
            {"ce-specversion": "1.0", "ce-type": "another", "ce-source": "/a", "ce-id": "1"},
            b"",
            "the event is a another, not a dev.tidegate.outcome.observed.",
        ),
    ],
)
def test_what_is_no_outcome_is_a_dead_letter_at_once(
    client: TestClient, cluster: FakeCluster, headers: Mapping[str, str], body: bytes, sentence: str
) -> None:
    answer = client.post("/", content=body, headers=dict(headers))

    assert answer.status_code == 400
    assert sentence in answer.json()["error"]
    assert len(cluster.patches) == 1  # its start


def test_a_state_that_cannot_be_read_is_no_reason_to_retry(client: TestClient, cluster: FakeCluster) -> None:
    cluster.service["metadata"]["annotations"][STATE] = "{}"
    answer = post(client, cluster.outcome().to_event())

    assert answer.status_code == 422
    assert "tidegate.dev/rollout-state cannot be read" in answer.json()["error"]


def test_a_service_that_changes_all_the_time_is_a_reason_to_retry() -> None:
    cluster = FakeCluster(rivals=100)
    with TestClient(build(cluster, clock=lambda: STARTED + 100)) as client:
        answer = post(client, cluster.outcome(canary=[1]).to_event())

    assert answer.status_code == 503


def test_a_decision_stands_although_it_cannot_be_reported(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "record", refuse)
    with TestClient(build(cluster, Sink("http://127.0.0.1:9"), clock=lambda: STARTED + 100)) as client:
        assert post(client, cluster.outcome(canary=ALARM).to_event()).status_code == 204
        assert client.get("/readyz").status_code == client.get("/livez").status_code == 200
    assert cluster.state.phase is Phase.ROLLED_BACK


async def test_outcomes_that_wait_are_applied_in_one_turn(cluster: FakeCluster) -> None:
    turns: list[int] = []
    gate = Gate()

    async def turn(_: str, outcomes: Sequence[Outcome]) -> None:
        turns.append(len(outcomes))
        await asyncio.to_thread(gate.wait)

    queue = Turns(turn)
    first = asyncio.create_task(queue.take("flights", cluster.outcome(1)))
    await asyncio.sleep(0)
    others = [asyncio.create_task(queue.take("flights", cluster.outcome(number))) for number in range(2, 7)]
    others[0].cancel()  # its sender has left
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(first, *others[1:])

    assert sum(turns) in (5, 6)
    assert len(turns) == 2


async def test_a_turn_that_fails_fails_for_its_outcomes_only(cluster: FakeCluster) -> None:
    async def turn(model: str, _: Sequence[Outcome]) -> None:
        if model == "flights":
            raise ConnectionError("refused")

    queue = Turns(turn)
    with pytest.raises(ConnectionError):
        await queue.take("flights", cluster.outcome())
    await queue.take("another")
