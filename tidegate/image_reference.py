"""References of container images: registry, name, tag and digest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageReference:
    """A parsed reference such as `registry:5000/team/flights:1@sha256:…`. Parts that it does not have are empty."""

    registry: str
    name: str
    tag: str
    digest: str

    @classmethod
    def parse(cls, image: str) -> Self:
        """Parse as container engines do: the first part is a host if it has a dot or a port, or is localhost."""
        rest, _, digest = image.partition("@")
        first, slash, path = rest.partition("/")
        has_host = slash and (first == "localhost" or "." in first or ":" in first)
        name, _, tag = (path if has_host else rest).partition(":")
        return cls(registry=first if has_host else "", name=name, tag=tag, digest=digest)

    @property
    def base_name(self) -> str:
        """The last component of the name: `flights` of `team/flights`."""
        return self.name.rpartition("/")[2]

    @property
    def is_pinned(self) -> bool:
        """Whether the reference names a digest, or a tag other than `latest`."""
        return bool(self.digest) or self.tag not in ("", "latest")
