from __future__ import annotations

from typing import Any

import pytest

from tidegate.doctor.cluster import permissions
from tidegate.doctor.finding import Level
from tidegate.documents import Document

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
def test_router_is_allowed_now_or_by_the_manifests(documents: list[Document], denied: list[str], level: Level) -> None:
    (found,) = permissions.judge_router(documents, "router", "mine", denied)
    assert found.level is level
    assert bool(found.remedy) is (level is Level.ERROR)


def test_role_binding_for_another_namespace_is_an_error() -> None:
    (found,) = permissions.judge_router(_granting("default"), "router", "mine", ["list", "watch"])
    assert found.level is Level.ERROR
    assert "the RoleBinding names the one in default" in found.message
    assert "`namespace: mine`" in found.remedy
