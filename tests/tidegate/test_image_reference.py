from __future__ import annotations

import pytest

from tidegate import image_reference

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
def test_reference_is_split_as_container_engines_do(image: str, parts: tuple[str, ...]) -> None:
    found = image_reference.parse(image)
    assert (found.registry, found.name, found.tag, found.digest) == parts
    assert found.function == "flights"


@pytest.mark.parametrize(("image", "pinned"), [("a", False), ("a:latest", False), ("a:1", True), (f"a@{DIGEST}", True)])
def test_pinned_image_has_a_digest_or_a_tag_other_than_latest(image: str, pinned: bool) -> None:
    assert image_reference.parse(image).is_pinned is pinned
