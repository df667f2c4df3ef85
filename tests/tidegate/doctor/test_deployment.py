"""What manifests ask of a namespace: rights, room, references, traffic."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from tidegate.doctor import quantity
from tidegate.doctor.accessors import for_kubectl, workloads
from tidegate.doctor.cluster import dryrun, limits, namespace, overlays, permissions, services, traffic
from tidegate.doctor.cluster.client import Answer
from tidegate.doctor.finding import Finding, Level
from tidegate.objects import Document

Object = dict[str, Any]
Service = Callable[..., Document]
FOLLOW = {"apiGroups": ["serving.knative.dev"], "resources": ["services"], "verbs": ["get", "list", "watch"]}


def _granting(account_namespace: str, **rule: Any) -> list[Document]:
    role = {"kind": "Role", "metadata": {"name": "router"}, "rules": [FOLLOW | rule]}
    subjects = [{"kind": "ServiceAccount", "name": "router", "namespace": account_namespace}]
    binding = {"kind": "RoleBinding", "metadata": {"name": "router"}, "roleRef": {"kind": "Role", "name": "router"}, "subjects": subjects}
    return [Document("role.yaml", role), Document("binding.yaml", binding)]


@pytest.mark.parametrize(
    ("documents", "denied", "level"),
    [
        ([], [], Level.OK),
        (_granting("mine"), ["list", "watch"], Level.OK),
        (_granting("mine", verbs=["*"]), ["watch"], Level.OK),
        (_granting("mine", verbs=["get"]), ["list", "watch"], Level.ERROR),
        ([], ["list"], Level.ERROR),
    ],
)
def test_the_router_may_follow_services_now_or_by_the_manifests(documents: list[Document], denied: list[str], level: Level) -> None:
    (found,) = permissions.judge_router(documents, "router", "mine", denied)
    assert found.level is level
    assert bool(found.remedy) is (level is Level.ERROR)


def test_a_role_binding_for_an_account_elsewhere_is_told() -> None:
    (found,) = permissions.judge_router(_granting("default"), "router", "mine", ["list", "watch"])
    assert found.level is Level.ERROR
    assert "the RoleBinding names the one in default" in found.message
    assert "`namespace: mine`" in found.remedy


@pytest.mark.parametrize(
    ("written", "value"), [("100m", "0.1"), ("2", "2"), ("1Gi", 1024**3), ("500M", 500_000_000), ("1e3", 1000), (1.5, "1.5"), ("x", 0)]
)
def test_quantities_are_read_as_kubernetes_does(written: object, value: str | int) -> None:
    assert quantity.parse(written) == Decimal(value)


def _quota(used: Object | None = None, **hard: str) -> Object:
    named = {name.replace("_", "."): value for name, value in hard.items()}
    return {"metadata": {"name": "q"}, "spec": {"hard": named}, "status": {"hard": named, "used": used or {}} if used else {}}


def _room(quota: Object, documents: list[Document], defaults: set[str] | None = None) -> list[Finding]:
    return list(limits.quotas([quota], workloads(documents), defaults or set()))


def test_a_quota_with_room_is_well(service: Service) -> None:
    one = service(resources={"requests": {"cpu": "100m"}})
    assert [item.level for item in _room(_quota(requests_cpu="1", pods="5"), [one])] == [Level.OK]


def test_a_quota_that_is_too_small_says_how_much_is_left(service: Service) -> None:
    one = service(resources={"requests": {"cpu": "100m"}})
    (never,) = _room(_quota(cpu="100m"), [one])
    (not_now,) = _room(_quota(used={"requests.cpu": "900m"}, requests_cpu="1"), [one])
    assert never.level is Level.ERROR
    assert "one replica of each needs 125m, 100m of 100m are left" in never.message  # with 25m for queue-proxy
    assert not_now.level is Level.WARNING
    assert "100m of 1 are left" in not_now.message


def test_a_quota_on_what_containers_do_not_name_refuses_their_pods_unless_there_is_a_default(service: Service) -> None:
    one = service(resources={"requests": {"cpu": "100m"}})
    quota = _quota(limits_cpu="4")
    proxy, container = _room(quota, [one])
    assert proxy.level is Level.WARNING
    assert "queue.sidecar.serving.knative.dev/cpu-resource-limit" in proxy.remedy
    assert container.level is Level.ERROR
    assert "Service flights do not name" in container.message
    limit_range = {"spec": {"limits": [{"type": "Container", "max": {"cpu": "2"}}]}}
    assert [item.level for item in _room(quota, [one], limits.defaults([limit_range]))] == [Level.OK]


def test_a_limit_range_bounds_each_container(service: Service) -> None:
    ranges = [
        {
            "spec": {
                "limits": [{"type": "Container", "max": {"memory": "256Mi"}, "min": {"cpu": "50m"}}, {"type": "Pod", "max": {"cpu": "1m"}}]
            }
        }
    ]
    one = service(resources={"requests": {"cpu": "10m"}, "limits": {"memory": "1Gi"}})
    messages = [item.message for item in limits.ranges(ranges, workloads([one]))]
    assert messages == [
        "Service flights: limits.memory is 1Gi; at most 256Mi is allowed.",
        "Service flights: requests.cpu is 10m; at least 50m is asked for.",
    ]


def test_the_pod_that_is_tried_needs_nothing_that_is_not_there_yet(service: Service) -> None:
    (workload,) = workloads([service(readinessProbe={"httpGet": {"path": "/"}}, resources={"requests": {"cpu": "1"}})])
    container = {"name": "container-0", "image": "flights", "resources": {"requests": {"cpu": "1"}}}
    assert namespace.pod(workload)["spec"] == {"automountServiceAccountToken": False, "containers": [container]}


SPLIT = [{"revisionName": "flights-a", "percent": 90}, {"revisionName": "flights-b", "percent": 10}]


def _revision(name: str, ready: str = "True") -> Object:
    return {"metadata": {"name": name}, "status": {"conditions": [{"type": "Ready", "status": ready}]}}


def test_traffic_may_name_what_is_there_and_what_is_about_to_be_made(service: Service) -> None:
    (found,) = traffic.judge(service(traffic=SPLIT, revision="flights-b"), [_revision("flights-a")])
    assert found.level is Level.OK


def test_traffic_to_a_revision_that_there_is_not_names_those_that_there_are(service: Service) -> None:
    (found,) = traffic.judge(service(traffic=SPLIT, revision="flights-b"), [_revision("flights-00001")])
    assert found.level is Level.ERROR
    assert "there is no revision flights-a: the service has flights-00001, flights-b" in found.message
    assert "spec.traffic of flights.yaml" in found.remedy


def test_traffic_of_a_service_that_was_never_deployed(service: Service) -> None:
    first, second = traffic.judge(service(traffic=SPLIT), [])
    assert {first.level, second.level} == {Level.ERROR}
    assert "the service has none yet" in first.message


def test_traffic_to_a_revision_that_is_not_ready_is_worth_a_note(service: Service) -> None:
    note, _ = traffic.judge(service(traffic=SPLIT, revision="flights-b"), [_revision("flights-a", "False")])
    assert note.level is Level.NOTE


def _deployed(ready: str, reason: str = "", message: str = "", observed: int = 1) -> Object:
    condition = {"type": "Ready", "status": ready, "reason": reason, "message": message}
    return {
        "metadata": {"name": "flights", "generation": 1},
        "status": {"observedGeneration": observed, "url": "http://x", "conditions": [condition]},
    }


def test_a_service_that_is_ready_tells_its_address() -> None:
    found = services.judge(_deployed("True"), None, "mine", [])
    assert (found.level, found.message) == (Level.OK, "is ready: http://x")


@pytest.mark.parametrize(
    ("reason", "message", "remedy"),
    [
        ("ContainerMissing", 'Unable to fetch image "x": not found', "push the image"),
        ("Unschedulable", "0/1 nodes are available: 1 Insufficient cpu.", "lower the requests"),
        ("ExitCode1", "Container failed with: no module", "kubectl -n mine logs -l serving.knative.dev/service=flights"),
        ("ExitCode1", "Container failed with: the artifact m has the sha256 1…, its card promises 2…", "make train"),
        ("RevisionMissing", 'Configuration "flights" does not have any ready Revision.', "kubectl -n mine get revisions"),
        ("Surprise", "never seen", "kubectl -n mine describe ksvc flights"),
    ],
)
def test_a_service_that_is_not_ready_tells_why_and_what_to_do(reason: str, message: str, remedy: str) -> None:
    found = services.judge(_deployed("False", reason, message), None, "mine", [])
    assert found.level is Level.ERROR
    assert f"{reason}: {message}" in found.message
    assert remedy in found.remedy


def test_the_pods_of_a_service_that_is_still_tried_tell_more_than_the_service() -> None:
    waiting = {"state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}}}
    pods = [{"status": {"containerStatuses": [waiting]}}]
    found = services.judge(_deployed("Unknown", "RevisionMissing", "waiting for a Revision"), None, "mine", pods)
    assert found.level is Level.WARNING
    assert found.message == "is not ready yet. ErrImagePull: not found. RevisionMissing: waiting for a Revision."
    assert found.remedy.startswith("push the image")


def test_a_service_repeats_what_its_revision_says_and_doctor_does_not() -> None:
    revision = {"status": {"conditions": [{"type": "Ready", "status": "False", "reason": "Unschedulable", "message": "no room"}]}}
    service = _deployed("False", "RevisionFailed", 'Revision "x" failed with message: no room.')
    found = services.judge(service, revision, "mine", [])
    assert found.message == "is not ready. Unschedulable: no room."


def test_a_service_that_no_controller_has_seen() -> None:
    found = services.judge(_deployed("True", observed=0), None, "mine", [])
    assert found.level is Level.WARNING
    assert "no controller has looked at it" in found.message


def _live(manager: str = "", **annotations: str) -> Object:
    fields = [{"manager": manager, "fieldsV1": {"f:spec": {}}}, {"manager": "kubectl-client-side-apply", "fieldsV1": {"f:spec": {}}}]
    status = {"manager": "argocd-controller", "subresource": "status", "fieldsV1": {"f:spec": {}}}
    return {
        "kind": "Service",
        "metadata": {"name": "flights", "annotations": annotations, "labels": annotations, "managedFields": [*fields, status]},
    }


def test_two_overlays_over_each_other_are_both_named() -> None:
    ours = {"kind": "Service", "metadata": {"name": "flights", "labels": {"tidegate.dev/overlay": "staging"}}}
    (found,) = overlays.judge(ours, _live(**{"tidegate.dev/overlay": "production"}))
    assert found.level is Level.WARNING
    assert "made it is production, these manifests are staging" in found.message
    assert not list(overlays.judge(ours, _live(**{"tidegate.dev/overlay": "staging"})))


def test_two_tools_that_write_one_object_are_both_named() -> None:
    ours = {"kind": "Service", "metadata": {"name": "flights"}}
    (found,) = overlays.judge(ours, _live("argocd-controller"))
    assert "Argo CD and kubectl apply both write" in found.message
    assert not list(overlays.judge(ours, _live("controller")))


def test_a_command_names_knative_s_service_and_not_kubernetes_own() -> None:
    metadata = {"name": "flights", "namespace": "models"}
    ours: Object = {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": metadata}
    assert for_kubectl(ours) == "-n models service.serving.knative.dev/flights"
    (found,) = overlays.judge(ours, ours | {"metadata": _live("helm")["metadata"] | metadata})
    assert found.remedy.endswith("kubectl get -n models service.serving.knative.dev/flights --show-managed-fields -o yaml")
    assert for_kubectl({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "card"}}) == "configmap/card"


DOCUMENT = Document("a.yaml", {"kind": "Service", "metadata": {"name": "flights"}})


@pytest.mark.parametrize(
    ("status", "sentence", "level", "remedy"),
    [
        (400, 'strict decoding error: unknown field "x"', Level.ERROR, "mend a.yaml"),
        (422, "spec.selector: Invalid value: field is immutable", Level.ERROR, "kubectl delete service/flights,"),
        (500, 'failed calling webhook "webhook.example.com": connection refused', Level.ERROR, "webhook.example.com"),
        (403, 'User "me" cannot patch resource "services"', Level.NOTE, ""),
    ],
)
def test_the_server_s_own_sentence_is_told(status: int, sentence: str, level: Level, remedy: str) -> None:
    (found,) = dryrun.judge(DOCUMENT, Answer(status, {"message": sentence}))
    assert found.level is level
    assert sentence in found.message
    assert remedy in found.remedy


def test_what_the_server_takes_with_a_warning_is_told() -> None:
    (found,) = dryrun.judge(DOCUMENT, Answer(200, {}, ('299 - "default \\"x\\" is insecure"',)))
    assert (found.level, found.message) == (Level.WARNING, 'default "x" is insecure')
