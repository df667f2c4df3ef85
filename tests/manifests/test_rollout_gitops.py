"""What a rollout has written, when Flux or Argo CD apply their manifests again: what both send to an API server.

Flux applies on the server, by force. Argo CD applies on either side; with `RespectIgnoreDifferences` it first copies what
its rule ignores from the object in the cluster into the manifest.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from functions.rollout import announcements
from functions.rollout.service import move, rollout_of
from functions.rollout.state import Phase, State, start
from tidegate.local.apiserver.patch import merge

Object = dict[str, Any]
Kubectl = Callable[..., str]
Apply = Callable[[Object], None]

pytestmark = pytest.mark.cluster

PAGE = Path(__file__).parents[2] / "docs/rollout.md"
STABLE, CANARY = "flights-00001", "flights-00002"
MANIFEST: Object = {
    "apiVersion": "serving.knative.dev/v1",
    "kind": "Service",
    "metadata": {"name": "flights", "annotations": {"tidegate.dev/latency-slo": "250ms"}},
    "spec": {"template": {"spec": {"containers": [{"image": "dev.local/none:1"}]}}},
}
TRAFFIC = [{"revisionName": STABLE, "latestRevision": False, "percent": 100}]
WITH_TRAFFIC = merge(MANIFEST, {"spec": {"traffic": TRAFFIC}})
NEXT = merge(MANIFEST, {"spec": {"template": {"spec": {"containers": [{"image": "dev.local/none:2"}]}}}})
RUNNING = start(rollout=f"{CANARY}-1", model="flights", stable=STABLE, canary=CANARY, percent=20, now=1.0)
FLUX = ("--server-side", "--force-conflicts", "--field-manager=kustomize-controller")
ARGO_CD = {"client": (), "server": ("--server-side", "--force-conflicts", "--field-manager=argocd-controller")}


@pytest.fixture
def namespace(kubectl: Kubectl) -> Iterator[Kubectl]:
    """kubectl in a new namespace."""
    name = f"tidegate-gitops-{uuid.uuid4().hex[:8]}"
    kubectl("create", "namespace", name)
    yield lambda *arguments, stdin=None: kubectl("-n", name, *arguments, stdin=stdin)
    kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def live(namespace: Kubectl) -> Callable[[], Object]:
    """Read the Knative Service."""
    return lambda: dict(json.loads(namespace("get", "ksvc", "flights", "-o", "json")))


@pytest.fixture
def write(namespace: Kubectl, live: Callable[[], Object]) -> Callable[[State], None]:
    """Write what the rollout function does about a state of the rollout."""

    def patch(state: State) -> None:
        service = live()
        content = move(service, state)
        content["metadata"]["annotations"] |= announcements.added(service, [announcements.started(state)])
        namespace("patch", "ksvc", "flights", "--type=merge", "-p", json.dumps(content))

    return patch


def applies(namespace: Kubectl, *options: str) -> Apply:
    return lambda manifest: print(namespace("apply", *options, "-f", "-", stdin=json.dumps(manifest)))


def written(service: Object) -> tuple[Any, Any]:
    """What a rollout owns of a Knative Service: its annotations and the traffic."""
    ours = ("tidegate.dev/rollout", "tidegate.dev/rollout-state", "tidegate.dev/rollout-announcements")
    return {name: service["metadata"]["annotations"].get(name) for name in ours}, service["spec"].get("traffic")


def ignored() -> list[str]:
    """The jq expressions of the documented Application."""
    text = PAGE.read_text("utf-8").split("\n### GitOps\n", 1)[1].split("```yaml\n", 1)[1].split("```", 1)[0]
    application = yaml.safe_load(text)["spec"]
    assert "RespectIgnoreDifferences=true" in application["syncPolicy"]["syncOptions"]
    (rule,) = application["ignoreDifferences"]
    assert MANIFEST["apiVersion"].startswith(f"{rule['group']}/")
    assert rule["kind"] == MANIFEST["kind"]
    return list(rule["jqPathExpressions"])


def normalized(item: Object) -> Object:
    """The object without what the rule ignores: Argo CD runs `del(…)` of each expression."""
    program = shutil.which("jq") or pytest.skip("jq is not on the PATH: install it.")
    query = " | ".join(f"del({expression})" for expression in ignored())
    done = subprocess.run([program, query], input=json.dumps(item), capture_output=True, text=True, check=True)
    found: Object = json.loads(done.stdout)
    return found


def without(item: Object, other: Object) -> Object:
    """What `item` has and `other` has not: the merge patch from `other` to `item`."""
    inner = {name: without(value, other[name]) for name, value in item.items() if isinstance(value, dict) and name in other}
    return {name: value for name, value in item.items() if name not in other} | {name: value for name, value in inner.items() if value}


def respectful(manifest: Object, service: Object) -> Object:
    """The manifest as Argo CD sends it with `RespectIgnoreDifferences`."""
    found: Object = merge(normalized(manifest), without(service, normalized(service)))
    return found


@pytest.mark.parametrize("options", [FLUX, *ARGO_CD.values()], ids=["flux", "argo-cd-client", "argo-cd-server"])
def test_manifest_without_traffic_leaves_a_rollout_alone(
    namespace: Kubectl, live: Callable[[], Object], write: Callable[[State], None], options: tuple[str, ...]
) -> None:
    """The same manifest again changes nothing at all, and the next one the template alone."""
    apply = applies(namespace, *options)
    apply(MANIFEST)
    write(RUNNING)
    before = live()
    apply(MANIFEST)
    assert live()["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    apply(NEXT)
    after = live()
    assert after["spec"]["template"]["spec"]["containers"][0]["image"] == "dev.local/none:2"
    assert written(after) == written(before)
    assert rollout_of(after) == RUNNING


@pytest.mark.parametrize("options", [FLUX, *ARGO_CD.values()], ids=["flux", "argo-cd-client", "argo-cd-server"])
def test_manifest_with_traffic_takes_the_traffic_back(
    namespace: Kubectl, live: Callable[[], Object], write: Callable[[State], None], options: tuple[str, ...]
) -> None:
    """And when the traffic leaves the manifest, it leaves the Service too."""
    apply = applies(namespace, *options)
    apply(WITH_TRAFFIC)
    write(RUNNING)
    apply(WITH_TRAFFIC)
    assert live()["spec"]["traffic"] == TRAFFIC
    assert rollout_of(live()) == RUNNING
    apply(MANIFEST)
    assert "traffic" not in live()["spec"]


def test_rule_for_argo_cd_ignores_all_that_a_rollout_writes(
    namespace: Kubectl, live: Callable[[], Object], write: Callable[[State], None]
) -> None:
    """Argo CD finds no difference that it would heal."""
    applies(namespace)(WITH_TRAFFIC)
    before = live()
    write(RUNNING)
    after = live()
    assert written(after) != written(before)
    for item in (before, after):
        for name in ("generation", "managedFields", "resourceVersion"):
            item["metadata"].pop(name, None)
        item.pop("status", None)
    assert normalized(after) == normalized(before)


@pytest.mark.parametrize("side", ARGO_CD)
def test_rule_for_argo_cd_keeps_a_rollout_from_a_manifest_with_traffic(
    namespace: Kubectl, live: Callable[[], Object], write: Callable[[State], None], side: str
) -> None:
    apply = applies(namespace, *ARGO_CD[side])
    apply(WITH_TRAFFIC)
    write(RUNNING)
    before = live()
    apply(respectful(merge(WITH_TRAFFIC, NEXT), before))
    after = live()
    assert after["spec"]["template"]["spec"]["containers"][0]["image"] == "dev.local/none:2"
    assert written(after) == written(before)


@pytest.mark.parametrize("side", ARGO_CD)
def test_rollout_goes_on_from_what_argo_cd_had_read_before_its_last_write(
    namespace: Kubectl, live: Callable[[], Object], write: Callable[[State], None], side: str
) -> None:
    """A copy of the past has state and traffic that belong together."""
    apply = applies(namespace, *ARGO_CD[side])
    apply(WITH_TRAFFIC)
    write(RUNNING)
    read = deepcopy(live())
    write(replace(RUNNING, percent=0, phase=Phase.ROLLED_BACK))
    assert [target["revisionName"] for target in live()["spec"]["traffic"]] == [STABLE]
    apply(respectful(WITH_TRAFFIC, read))
    assert written(live()) == written(read)
    assert rollout_of(live()) == RUNNING
