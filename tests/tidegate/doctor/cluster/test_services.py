from __future__ import annotations

from typing import Any

import pytest

from tidegate.doctor.cluster import services
from tidegate.doctor.finding import Level

Object = dict[str, Any]


def _deployed(ready: str, reason: str = "", message: str = "", observed: int = 1) -> Object:
    condition = {"type": "Ready", "status": ready, "reason": reason, "message": message}
    return {
        "metadata": {"name": "flights", "generation": 1},
        "status": {"observedGeneration": observed, "url": "http://x", "conditions": [condition]},
    }


def test_ready_service_has_its_url() -> None:
    found = services.judge(_deployed("True"), None, "mine", [])
    assert (found.level, found.message) == (Level.OK, "is ready: http://x")


@pytest.mark.parametrize(
    ("reason", "message", "remedy"),
    [
        ("ContainerMissing", 'Unable to fetch image "x": not found', "push the image"),
        ("Unschedulable", "0/1 nodes are available: 1 Insufficient cpu.", "lower the requests"),
        ("ExitCode1", "Container failed with: no module", "kubectl -n mine logs -l serving.knative.dev/service=flights"),
        ("ExitCode1", "Container failed with: the artifact m has the sha256 1…, its card has 2…", "make train"),
        ("RevisionMissing", 'Configuration "flights" does not have any ready Revision.', "kubectl -n mine get revisions"),
        ("Surprise", "never seen", "kubectl -n mine describe ksvc flights"),
    ],
)
def test_unready_service_has_reason_and_remedy(reason: str, message: str, remedy: str) -> None:
    found = services.judge(_deployed("False", reason, message), None, "mine", [])
    assert found.level is Level.ERROR
    assert f"{reason}: {message}" in found.message
    assert remedy in found.remedy


def test_pods_of_a_starting_service_give_the_reason() -> None:
    waiting = {"state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}}}
    pods = [{"status": {"containerStatuses": [waiting]}}]
    found = services.judge(_deployed("Unknown", "RevisionMissing", "waiting for a Revision"), None, "mine", pods)
    assert found.level is Level.WARNING
    assert found.message == "is not ready yet. ErrImagePull: not found. RevisionMissing: waiting for a Revision."
    assert found.remedy.startswith("push the image")


def test_reason_of_service_and_revision_is_given_once() -> None:
    revision = {"status": {"conditions": [{"type": "Ready", "status": "False", "reason": "Unschedulable", "message": "no room"}]}}
    service = _deployed("False", "RevisionFailed", 'Revision "x" failed with message: no room.')
    found = services.judge(service, revision, "mine", [])
    assert found.message == "is not ready. Unschedulable: no room."


def test_service_without_a_controller_is_a_warning() -> None:
    found = services.judge(_deployed("True", observed=0), None, "mine", [])
    assert found.level is Level.WARNING
    assert "no controller has observed its last change" in found.message
