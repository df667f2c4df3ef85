"""Which Kubernetes a Knative needs, and which Knative this project needs."""

from __future__ import annotations

import re

Version = tuple[int, int]

# The oldest that the manifests are for: JobSink and EventType as they use them, queue-proxy probes as a cold start wants them.
OLDEST_KNATIVE: Version = (1, 18)
# The minimum in knative.dev/pkg/version at each release of Knative Serving: below it, its controllers end as they start.
_KUBERNETES: dict[Version, Version] = {
    (1, 18): (1, 31),
    (1, 19): (1, 32),
    (1, 20): (1, 32),
    (1, 21): (1, 33),
    (1, 22): (1, 34),
    (1, 23): (1, 34),
}


def parse(version: str) -> Version | None:
    """`v1.34.4+k3s1` is (1, 34); None for a build that has no number, such as `devel`."""
    match = re.match(r"(?:knative-)?v?(\d+)\.(\d+)", version)
    return (int(match[1]), int(match[2])) if match else None


def kubernetes_for(kubernetes: str, knative: Version) -> str:
    """Why this Kubernetes is too old for this Knative; empty if it is not, or if it is not known."""
    found = parse(kubernetes)
    # A Knative newer than the table needs at least what the newest in it does.
    least = _KUBERNETES.get(knative) or max(_KUBERNETES.values()) if knative >= OLDEST_KNATIVE else None
    if found is None or least is None or found >= least:
        return ""
    return f"Knative {shown(knative)} needs {shown(least)} or newer."


def shown(version: Version) -> str:
    return f"{version[0]}.{version[1]}"
