from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from tidegate.doctor.cluster import images
from tidegate.doctor.finding import Level
from tidegate.objects import Document

Service = Callable[..., Document]
Server = Callable[[dict[str, tuple[int, dict[str, Any]]]], AbstractContextManager[str]]
DIGEST = f"sha256:{'a' * 64}"


@pytest.mark.parametrize(
    ("image", "parts"),
    [
        ("flights", ("", "flights", "", "")),
        ("team/flights:1", ("", "team/flights", "1", "")),
        ("localhost/flights", ("localhost", "flights", "", "")),
        ("registry:5000/team/flights:1", ("registry:5000", "team/flights", "1", "")),
        (f"ghcr.io/team/flights@{DIGEST}", ("ghcr.io", "team/flights", "", DIGEST)),
        (f"ghcr.io/flights:2@{DIGEST}", ("ghcr.io", "flights", "2", DIGEST)),
    ],
)
def test_a_reference_has_the_parts_that_engines_see_in_it(image: str, parts: tuple[str, ...]) -> None:
    found = images.parse(image)
    assert (found.registry, found.name, found.tag, found.digest) == parts


@pytest.mark.parametrize(("image", "pinned"), [("a", False), ("a:latest", False), ("a:1", True), (f"a@{DIGEST}", True)])
def test_a_version_is_a_tag_that_is_not_latest_or_a_digest(image: str, pinned: bool) -> None:
    assert images.parse(image).is_pinned is pinned


def test_images_without_a_registry_are_one_warning(service: Service) -> None:
    (found,) = images.check([service("flights"), service("router")])
    assert found.level is Level.WARNING
    assert found.message.startswith("flights and router name no registry")


@pytest.mark.parametrize(
    ("status", "body", "level"),
    [
        (200, {}, Level.OK),
        (404, {"errors": [{"code": "MANIFEST_UNKNOWN"}]}, Level.ERROR),
        (404, {}, Level.NOTE),  # whoever it is, it is no registry
        (401, {}, Level.NOTE),
        (500, {}, Level.NOTE),
    ],
)
def test_a_registry_is_asked_for_the_image(service: Service, server: Server, status: int, body: dict[str, Any], level: Level) -> None:
    with server({"/v2/team/flights/manifests/1": (status, body)}) as address:
        (found,) = images.check([service(image=f"{address}/team/flights:1")])
    assert found.level is level
    assert address in found.message


def test_a_digest_is_asked_for_rather_than_the_tag(service: Service, server: Server) -> None:
    with server({f"/v2/flights/manifests/{DIGEST}": (200, {})}) as address:
        (found,) = images.check([service(image=f"{address}/flights:1@{DIGEST}")])
    assert found.level is Level.OK


def test_a_registry_that_cannot_be_reached_is_asked_once_and_is_no_fault(service: Service) -> None:
    asked = []

    def nobody(registry: str, name: str, version: str) -> int:
        asked.append((registry, name, version))
        raise images.NoRegistry

    found = list(images.check([service(image="far.example.com/a:1"), service(image="far.example.com/b:latest")], nobody))
    assert [item.level for item in found] == [Level.NOTE, Level.WARNING]
    assert asked == [("far.example.com", "a", "1")]


def test_nothing_but_a_manifest_of_the_named_registry_is_asked_for(server: Server) -> None:
    with server({}) as address, pytest.raises(images.NoRegistry, match="no name for an image"):
        images.over_http(address, "../../admin", "1")


def test_an_image_that_nodes_are_given_cannot_be_looked_up(service: Service) -> None:
    (found,) = images.check([service(image="kind.local/flights:1")])
    assert found.level is Level.NOTE
    assert "kind load docker-image" in found.message
