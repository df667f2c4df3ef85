"""Images: whether their names say where they are and which, and whether the registry that they name has them.

A registry is asked for one manifest, without credentials; nothing else is fetched, and no redirection is followed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import urllib3

from tidegate.doctor.accessors import text, workloads
from tidegate.doctor.finding import Finding, error, listed, note, ok, warning
from tidegate.objects import Document

_TIMEOUT = urllib3.Timeout(connect=2.0, read=3.0)
# Knative resolves no tags of these, and no node can pull from them: the image is given to the nodes themselves.
_LOADED = ("dev.local", "kind.local", "ko.local")
# A registry tells by a short document of errors that it does not know an image (OCI Distribution Specification, "Error Codes"); a 404 of
# anything else between here and there says nothing.
_LONGEST_ERROR = 4096
_DOCKER_HUB = ("docker.io", "index.docker.io")
_LOOPBACK = ("localhost", "127.0.0.1")
_ACCEPT = (
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json,"
    " application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json"
)
_PATH = re.compile(r"[a-z0-9]+(?:[._/-]+[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Reference:
    """`registry:5000/team/flights:1@sha256:…`, in its parts; what it does not name is empty."""

    registry: str
    name: str
    tag: str
    digest: str

    @property
    def is_pinned(self) -> bool:
        return bool(self.digest) or self.tag not in ("", "latest")


class NoRegistry(Exception):
    """Nobody answers there."""


Ask = Callable[[str, str, str], int]
"""Of a registry, a name and a tag or digest: the status of its answer. Raises NoRegistry."""


def parse(image: str) -> Reference:
    """As container engines do: the first part is a host if it has a dot or a port, or is localhost."""
    rest, _, digest = image.partition("@")
    first, slash, path = rest.partition("/")
    registry = first if slash and (first == "localhost" or "." in first or ":" in first) else ""
    name, _, tag = (path if registry else rest).partition(":")
    return Reference(registry, name, tag, digest)


def images_of(documents: list[Document]) -> list[str]:
    return sorted({image for workload in workloads(documents) for container in workload.containers if (image := text(container, "image"))})


def check(documents: list[Document], ask: Ask | None = None) -> Iterator[Finding]:
    found = {image: parse(image) for image in images_of(documents)}
    bare = [image for image, reference in found.items() if not reference.registry]
    if bare:
        yield warning(
            "images",
            f"{listed(bare)} name no registry: a node would look for them at Docker Hub.",
            "skaffold run --default-repo=REGISTRY, or name them by `images:` in an overlay",
        )
    silent: set[str] = set()
    for image, reference in found.items():
        if not reference.registry:
            continue
        if not reference.is_pinned:
            told = f"{image} names no version (a tag that is not latest, or a digest): what runs changes without a new revision."
            yield warning("images", told, "give it a tag or a digest")
        if reference.registry not in silent:
            yield _asked(image, reference, ask or over_http, silent)


def judge(image: str, status: int) -> Finding:
    """By the status of the registry's answer."""
    if status == 200:
        return ok("images", f"{image} is in its registry")
    if status == 404:
        return error("images", f"{image} is not in its registry.", "build and push it: skaffold build --push, or mend the tag")
    if status in (401, 403):
        return note(
            "images", f"{image}: the registry wants credentials, which are not sent from here; whether it has the image is not known."
        )
    return note("images", f"{image}: the registry answers {status}; whether it has the image is not known.")


def over_http(registry: str, name: str, version: str) -> int:
    """HTTPS, or what a registry on this machine or one without TLS speaks. Raises NoRegistry."""
    if not _PATH.fullmatch(name):
        raise NoRegistry(f"{name!r} is no name for an image")
    host = registry.partition(":")[0]
    problem: Exception | None = None
    for scheme in ("http", "https") if host in _LOOPBACK else ("https", "http"):
        try:
            with urllib3.PoolManager() as pool:
                url = f"{scheme}://{registry}/v2/{name}/manifests/{version}"
                answer = pool.request(
                    "GET", url, headers={"Accept": _ACCEPT}, timeout=_TIMEOUT, retries=False, redirect=False, preload_content=False
                )
                if answer.status == 404 and b'"errors"' not in answer.read(_LONGEST_ERROR):
                    raise NoRegistry(f"who answers at {registry} is no registry")
                answer.close()
                return int(answer.status)
        except urllib3.exceptions.SSLError as failure:
            problem = failure  # it may speak no TLS
        except (urllib3.exceptions.HTTPError, ValueError) as failure:
            problem = failure
            break
    raise NoRegistry(str(problem))


def _asked(image: str, reference: Reference, ask: Ask, silent: set[str]) -> Finding:
    if reference.registry in _LOADED:
        return note("images", f"{image} comes from no registry: each node must have been given it (kind load docker-image {image}).")
    registry = "registry-1.docker.io" if reference.registry in _DOCKER_HUB else reference.registry
    try:
        return judge(image, ask(registry, reference.name, reference.digest or reference.tag or "latest"))
    except NoRegistry:
        silent.add(reference.registry)
        return note(
            "images", f"the registry {reference.registry} cannot be reached from here; nodes may reach it. Its images are not looked at."
        )
