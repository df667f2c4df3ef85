"""Images: whether their names have a registry and a version, and whether that registry has them.

A registry is asked for one manifest, without credentials; nothing else is fetched, and no redirect is followed.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import urllib3

from tidegate import image_reference
from tidegate.doctor.accessors import text, workloads
from tidegate.doctor.finding import Finding, Findings, error, listed, note, ok, warning
from tidegate.documents import Document
from tidegate.image_reference import ImageReference

_TIMEOUT = urllib3.Timeout(connect=2.0, read=3.0)
# Knative does not resolve their tags, and no node can pull from them: the image is loaded into the nodes.
_PRELOADED = ("dev.local", "kind.local", "ko.local")
# A registry reports an unknown image by a short document of errors (OCI Distribution Specification, "Error Codes"); a
# 404 without one comes from a proxy or another server, and means nothing.
_MAX_ERROR_BYTES = 4096
_DOCKER_HUB = ("docker.io", "index.docker.io")
_LOOPBACK = ("localhost", "127.0.0.1")
_ACCEPT = (
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json,"
    " application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json"
)
_PATH = re.compile(r"[a-z0-9]+(?:[._/-]+[a-z0-9]+)*")


class NoRegistry(Exception):
    """No container registry responds at this address."""


Lookup = Callable[[str, str, str], int]
"""The status of a registry's response for a name and a tag or digest. Raises NoRegistry."""


def images_of(documents: list[Document]) -> list[str]:
    return sorted({image for workload in workloads(documents) for container in workload.containers if (image := text(container, "image"))})


def check(documents: list[Document], lookup: Lookup | None = None) -> Findings[None]:
    """Check the images of all workloads. A registry that does not respond is asked once."""
    found = {image: image_reference.parse(image) for image in images_of(documents)}
    bare = [image for image, reference in found.items() if not reference.registry]
    if bare:
        yield warning(
            "images",
            f"{listed(bare)} name no registry: a node would pull them from Docker Hub.",
            "skaffold run --default-repo=REGISTRY, or name them by `images:` in an overlay",
        )
    silent: set[str] = set()
    for image, reference in found.items():
        if not reference.registry:
            continue
        if not reference.is_pinned:
            message = f"{image} names no version (a tag other than latest, or a digest): its content can change without a new revision."
            yield warning("images", message, "give it a tag or a digest")
        if reference.registry not in silent:
            yield _look_up(image, reference, lookup or over_http, silent)


def judge(image: str, status: int) -> Finding:
    """The finding of an image, by the status of the registry's response."""
    if status == 200:
        return ok("images", f"{image} is in its registry")
    if status == 404:
        return error("images", f"{image} is not in its registry.", "build and push it: skaffold build --push, or fix the tag")
    if status in (401, 403):
        return note("images", f"{image}: the registry requires credentials, and none are sent; it may or may not have the image.")
    return note("images", f"{image}: the registry answers {status}; it may or may not have the image.")


def over_http(registry: str, name: str, version: str) -> int:
    """Look up an image by HTTPS, or by HTTP at a registry on this machine or one without TLS. Raises NoRegistry."""
    if not _PATH.fullmatch(name):
        raise NoRegistry(f"{name!r} is not a valid image name")
    host = registry.partition(":")[0]
    problem: Exception | None = None
    for scheme in ("http", "https") if host in _LOOPBACK else ("https", "http"):
        try:
            with urllib3.PoolManager() as pool:
                url = f"{scheme}://{registry}/v2/{name}/manifests/{version}"
                answer = pool.request(
                    "GET", url, headers={"Accept": _ACCEPT}, timeout=_TIMEOUT, retries=False, redirect=False, preload_content=False
                )
                if answer.status == 404 and b'"errors"' not in answer.read(_MAX_ERROR_BYTES):
                    raise NoRegistry(f"{registry} is not a container registry")
                answer.close()
                return int(answer.status)
        except urllib3.exceptions.SSLError as failure:
            problem = failure  # it may not use TLS
        except (urllib3.exceptions.HTTPError, ValueError) as failure:
            problem = failure
            break
    raise NoRegistry(str(problem))


def _look_up(image: str, reference: ImageReference, lookup: Lookup, silent: set[str]) -> Finding:
    if reference.registry in _PRELOADED:
        return note("images", f"{image} is not in a registry: it must be loaded into each node (kind load docker-image {image}).")
    registry = "registry-1.docker.io" if reference.registry in _DOCKER_HUB else reference.registry
    try:
        return judge(image, lookup(registry, reference.name, reference.digest or reference.tag or "latest"))
    except NoRegistry:
        silent.add(reference.registry)
        message = f"the registry {reference.registry} cannot be reached from this machine, though nodes may; its images are not inspected."
        return note("images", message)
