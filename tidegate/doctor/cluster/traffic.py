"""Revisions that traffic is given to: there, or about to be made."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from tidegate.doctor.accessors import is_knative_service, mapping, mappings, name_of, text
from tidegate.doctor.cluster.client import Cluster
from tidegate.doctor.finding import Finding, error, note, ok
from tidegate.objects import Document, Object

_SERVICE_LABEL = "serving.knative.dev/service"


def check(cluster: Cluster) -> Iterator[Finding]:
    """Raises Unseen."""
    for document in cluster.documents:
        item = document.object
        if not is_knative_service(item) or not targets(item) or cluster.path(item) is None:
            continue
        path = f"/apis/{text(item, 'apiVersion')}/namespaces/{cluster.namespace_of(item)}/revisions"
        there = cluster.items(path, labelSelector=f"{_SERVICE_LABEL}={name_of(item)}") if cluster.has_namespace else []
        yield from judge(document, there)


def targets(service: Object) -> list[str]:
    """The revisions that the traffic of a Knative Service names."""
    found = mappings(mapping(service, "spec").get("traffic"))
    return list(dict.fromkeys(filter(None, (text(target, "revisionName") for target in found))))


def judge(document: Document, there: list[Object]) -> Iterator[Finding]:
    """`there` are the service's revisions on the cluster; the manifest's template makes one more, if it names it."""
    service = document.object
    subject = f"traffic of {name_of(service)}"
    made = text(mapping(service, "spec", "template", "metadata"), "name")
    ready = {name_of(item): _is_ready(item) for item in there}
    known = sorted({*ready, *filter(None, [made])})
    absent = [name for name in targets(service) if name not in known]
    for name in absent:
        nearest = difflib.get_close_matches(name, known, n=1)
        guess = f"; did you mean {nearest[0]}?" if nearest else "."
        have = f"the service has {', '.join(known)}" if known else "the service has none yet"
        yield error(subject, f"there is no revision {name}: {have}{guess}", _remedy(document, known))
    for name in targets(service):
        if ready.get(name) is False and name != made:
            yield note(subject, f"the revision {name} is not ready; the route keeps its old traffic until it is.")
    if not absent:
        yield ok(subject, f"the revisions are there: {', '.join(targets(service))}")


def _remedy(document: Document, known: list[str]) -> str:
    if known:
        return f"name one of them in spec.traffic of {document.source}, or make the revision first (spec.template.metadata.name)"
    return f"deploy once without spec.traffic, or give the template that name (spec.template.metadata.name) in {document.source}"


def _is_ready(revision: Object) -> bool:
    conditions = mappings(mapping(revision, "status").get("conditions"))
    return any(item.get("type") == "Ready" and item.get("status") != "False" for item in conditions)
