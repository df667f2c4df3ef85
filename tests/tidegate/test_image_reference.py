from __future__ import annotations

import pytest

from tidegate.image_reference import ImageReference


@pytest.mark.parametrize(
    ("image", "registry", "name", "tag", "digest"),
    [
        ("flights", "", "flights", "", ""),
        ("team/flights:1", "", "team/flights", "1", ""),
        ("registry:5000/team/flights:1.2", "registry:5000", "team/flights", "1.2", ""),
        ("localhost/flights", "localhost", "flights", "", ""),
        ("ghcr.io/a/b/flights:1@sha256:0123", "ghcr.io", "a/b/flights", "1", "sha256:0123"),
        ("dev.local/flights@sha256:0123", "dev.local", "flights", "", "sha256:0123"),
        ("", "", "", "", ""),
    ],
)
def test_reference_is_parsed_as_by_container_engines(image: str, registry: str, name: str, tag: str, digest: str) -> None:
    assert ImageReference.parse(image) == ImageReference(registry=registry, name=name, tag=tag, digest=digest)


@pytest.mark.parametrize("image", ["flights", "team/flights:1", "registry:5000/team/flights:1.2", "dev.local/flights@sha256:0123"])
def test_base_name_is_the_last_component(image: str) -> None:
    assert ImageReference.parse(image).base_name == "flights"


@pytest.mark.parametrize(("image", "pinned"), [("a", False), ("a:latest", False), ("a:1", True), ("a:latest@sha256:0", True)])
def test_digest_or_tag_other_than_latest_pins_an_image(image: str, pinned: bool) -> None:
    assert ImageReference.parse(image).is_pinned is pinned
