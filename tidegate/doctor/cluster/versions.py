"""The Kubernetes versions that Knative needs, and the Knative version that this project needs."""

from __future__ import annotations

import re

Version = tuple[int, int]

# The manifests need its JobSink and EventType, and its queue-proxy probes for a fast cold start.
OLDEST_KNATIVE: Version = (1, 18)
# The minimum in knative.dev/pkg/version at each release of Knative Serving: below it, its controllers exit at their
# start.
_KUBERNETES: dict[Version, Version] = {
    (1, 18): (1, 31),
    (1, 19): (1, 32),
    (1, 20): (1, 32),
    (1, 21): (1, 33),
    (1, 22): (1, 34),
    (1, 23): (1, 34),
}


def parse(version: str) -> Version | None:
    """Major and minor: `v1.34.4+k3s1` is (1, 34). None for a build without a number, such as `devel`."""
    match = re.match(r"(?:knative-)?v?(\d+)\.(\d+)", version)
    return (int(match[1]), int(match[2])) if match else None


def kubernetes_problem(kubernetes: str, knative: Version) -> str:
    """The reason why this Kubernetes is too old for this Knative; empty if it is not, or if its version is unknown."""
    found = parse(kubernetes)
    # A Knative newer than the table needs at least the newest Kubernetes in it.
    least = _KUBERNETES.get(knative) or max(_KUBERNETES.values()) if knative >= OLDEST_KNATIVE else None
    if found is None or least is None or found >= least:
        return ""
    return f"Knative {formatted(knative)} needs {formatted(least)} or newer."


def formatted(version: Version) -> str:
    return f"{version[0]}.{version[1]}"
