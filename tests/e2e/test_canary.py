from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from eventing.codecs.http import Mode
from tests.e2e.calls import REVISION, Site, eventually
from tests.e2e.departures import departure, event

if TYPE_CHECKING:
    from tests.e2e.cluster import Cluster
    from tests.e2e.deployment import Deployment
    from tidegate.demo.offline import Offline

pytestmark = pytest.mark.e2e

CANARY = "flights-canary"
KEYS = [f"N{number:05}" for number in range(400)]


@pytest.fixture(scope="module")
def stable(cluster: Cluster, deployment: Deployment) -> Iterator[str]:
    """The stable revision; by the component `canary`, a second one has a tenth of the keys."""
    name = cluster.get("ksvc/flights")["status"]["latestReadyRevisionName"]
    values = {"stable": name, "canary": CANARY, "model": "functions/flights/models/v2", "percent": "10", "rest": "90"}
    deployment.apply(canary=values)
    yield name
    deployment.apply()


def weights(router: Site) -> dict[str, int]:
    """The router's present percentages, by revision."""
    models: list[dict[str, Any]] = router.call("/v2/models").json()["models"]
    return next(({arm["revision"]: arm["percent"] for arm in model["arms"]} for model in models if model["name"] == "flights"), {})


def by_call(router: Site, keys: list[str]) -> dict[str, str]:
    """The revision that answers a V1 call with each key."""
    return {key: router.predict(departure(0), key=key).headers[REVISION] for key in keys}


def test_key_has_one_revision_in_calls_and_in_batches(deployment: Deployment, stable: str, offline: Offline) -> None:
    """At 90% and 10%, a key has the same revision in calls and in a batch of events, and the score of that revision."""
    router = deployment.router
    eventually(lambda: weights(router), lambda found: found == {stable: 90, CANARY: 10})
    first = by_call(router, KEYS)
    assert by_call(router, KEYS[:50]) == {key: first[key] for key in KEYS[:50]}
    assert 20 <= sum(revision == CANARY for revision in first.values()) <= 60
    answer = router.send("/models/flights", *(event(key, departure(0), key=key) for key in KEYS), mode=Mode.BATCH)
    assert answer.status == 200, answer
    assert {name.strip() for name in answer.headers[REVISION].split(",")} == {stable, CANARY}
    versions = {stable: "v1", CANARY: "v2"}
    scores = {version: offline.scores(version, [departure(0)])[0] for version in versions.values()}
    assert scores["v1"] != scores["v2"]
    replies = answer.events()
    assert [reply.get("causationid") for reply in replies] == KEYS
    assert [reply.get("modelversion") for reply in replies] == [versions[first[key]] for key in KEYS]
    assert all(np.float32(reply.value()["late"]) == scores[str(reply.get("modelversion"))] for reply in replies)


def test_higher_canary_weight_keeps_its_keys(cluster: Cluster, deployment: Deployment, stable: str) -> None:
    """The router follows weights that kubectl patches, and a key in the canary at 10% is in it at 30%."""
    router = deployment.router
    before = by_call(router, KEYS)
    traffic = [{"revisionName": stable, "percent": 70, "tag": "stable"}, {"revisionName": CANARY, "percent": 30, "tag": "canary"}]
    cluster.kubectl("patch", "ksvc", "flights", "--type=merge", "-p", json.dumps({"spec": {"traffic": traffic}}))
    patched = time.monotonic()
    eventually(lambda: weights(router), lambda found: found == {stable: 70, CANARY: 30})
    print(f"from the patch to the router's table: {time.monotonic() - patched:.2f} s")
    after = by_call(router, KEYS)
    canaries = {key for key, revision in after.items() if revision == CANARY}
    assert {key for key, revision in before.items() if revision == CANARY} < canaries
    assert 85 <= len(canaries) <= 155


def test_tag_has_its_own_host(deployment: Deployment, stable: str, offline: Offline) -> None:
    """The host of a tag reaches its revision at any percentage."""
    answer = deployment.site("flights", tag="canary").predict(departure(0))
    assert np.float32(answer.json()["predictions"][0]) == offline.scores("v2", [departure(0)])[0]
