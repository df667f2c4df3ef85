from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from tidegate.doctor.cluster import images
from tidegate.doctor.finding import Level
from tidegate.documents import Document

Service = Callable[..., Document]
Server = Callable[[dict[str, tuple[int, dict[str, Any]]]], AbstractContextManager[str]]
DIGEST = f"sha256:{'a' * 64}"


def test_images_without_a_registry_are_one_warning(service: Service) -> None:
    (found,) = images.check([service("flights"), service("router")])
    assert found.level is Level.WARNING
    assert found.message.startswith("flights and router name no registry")


@pytest.mark.parametrize(
    ("status", "body", "level"),
    [
        (200, {}, Level.OK),
        (404, {"errors": [{"code": "MANIFEST_UNKNOWN"}]}, Level.ERROR),
        (404, {}, Level.NOTE),  # not a registry
        (401, {}, Level.NOTE),
        (500, {}, Level.NOTE),
    ],
)
def test_level_follows_the_registrys_response(service: Service, server: Server, status: int, body: dict[str, Any], level: Level) -> None:
    with server({"/v2/team/flights/manifests/1": (status, body)}) as address:
        (found,) = images.check([service(image=f"{address}/team/flights:1")])
    assert found.level is level
    assert address in found.message


def test_digest_is_looked_up_rather_than_the_tag(service: Service, server: Server) -> None:
    with server({f"/v2/flights/manifests/{DIGEST}": (200, {})}) as address:
        (found,) = images.check([service(image=f"{address}/flights:1@{DIGEST}")])
    assert found.level is Level.OK


def test_unreachable_registry_is_asked_once_and_is_a_note(service: Service) -> None:
    lookups = []

    def unreachable(registry: str, name: str, version: str) -> int:
        lookups.append((registry, name, version))
        raise images.NoRegistry

    found = list(images.check([service(image="far.example.com/a:1"), service(image="far.example.com/b:latest")], unreachable))
    assert [item.level for item in found] == [Level.NOTE, Level.WARNING]
    assert lookups == [("far.example.com", "a", "1")]


def test_only_manifests_of_the_named_registry_are_requested(server: Server) -> None:
    with server({}) as address, pytest.raises(images.NoRegistry, match="not a valid image name"):
        images.over_http(address, "../../admin", "1")


def test_preloaded_image_is_not_looked_up(service: Service) -> None:
    (found,) = images.check([service(image="kind.local/flights:1")])
    assert found.level is Level.NOTE
    assert "kind load docker-image" in found.message
