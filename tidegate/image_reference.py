"""Names of container images, in the parts that container engines see in them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageReference:
    """An image's name in its parts, such as `registry:5000/team/flights:1@sha256:…`; a missing part is empty."""

    registry: str
    name: str
    tag: str
    digest: str

    @property
    def is_pinned(self) -> bool:
        """Whether it names one version: a digest, or a tag other than `latest`."""
        return bool(self.digest) or self.tag not in ("", "latest")

    @property
    def function(self) -> str:
        """The last part of the name, which is the function that the image runs."""
        return self.name.rpartition("/")[2]


def parse(image: str) -> ImageReference:
    """Split a name as container engines do.

    The first part is a registry if it has a dot or a port, or is `localhost`.
    """
    rest, _, digest = image.partition("@")
    first, slash, path = rest.partition("/")
    registry = first if slash and (first == "localhost" or "." in first or ":" in first) else ""
    name, _, tag = (path if registry else rest).partition(":")
    return ImageReference(registry=registry, name=name, tag=tag, digest=digest)
