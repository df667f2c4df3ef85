"""Revisions that receive traffic: on the cluster, or created by the manifests."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from functions.runtime.knative.objects import SERVICE_LABEL
from tidegate.doctor.accessors import condition, is_knative_service, mapping, mappings, name_of, text
from tidegate.doctor.cluster.target import Target
from tidegate.doctor.finding import Finding, Findings, error, note, ok
from tidegate.documents import Document, Object


def check(target: Target) -> Findings[None]:
    """Check the traffic blocks of the manifests. Raises NotInspectable."""
    cluster = target.cluster
    for document in cluster.documents:
        item = document.object
        if not is_knative_service(item) or not revisions_of(item) or target.path(item) is None:
            continue
        path = f"/apis/{text(item, 'apiVersion')}/namespaces/{cluster.namespace_of(item)}/revisions"
        there = cluster.items(path, labelSelector=f"{SERVICE_LABEL}={name_of(item)}") if target.has_namespace else []
        yield from judge(document, there)


def revisions_of(service: Object) -> list[str]:
    """The revisions that the traffic of a Knative Service names."""
    traffic = mappings(mapping(service, "spec").get("traffic"))
    return list(dict.fromkeys(filter(None, (text(entry, "revisionName") for entry in traffic))))


def judge(document: Document, there: list[Object]) -> Iterator[Finding]:
    """The findings of a traffic block. `there` are the revisions on the cluster; the template may name one more."""
    service = document.object
    subject = f"traffic of {name_of(service)}"
    made = text(mapping(service, "spec", "template", "metadata"), "name")
    ready = {name_of(item): _is_ready(item) for item in there}
    known = sorted({*ready, *filter(None, [made])})
    absent = [name for name in revisions_of(service) if name not in known]
    for name in absent:
        nearest = difflib.get_close_matches(name, known, n=1)
        guess = f"; did you mean {nearest[0]}?" if nearest else "."
        have = f"the service has {', '.join(known)}" if known else "the service has none yet"
        yield error(subject, f"no revision {name}: {have}{guess}", _remedy(document, known))
    for name in revisions_of(service):
        if ready.get(name) is False and name != made:
            yield note(subject, f"the revision {name} is not ready; the route keeps its old traffic until it is.")
    if not absent:
        yield ok(subject, f"the revisions exist: {', '.join(revisions_of(service))}")


def _remedy(document: Document, known: list[str]) -> str:
    if known:
        return f"name one of them in spec.traffic of {document.source}, or create the revision first (spec.template.metadata.name)"
    return f"deploy once without spec.traffic, or give the template that name (spec.template.metadata.name) in {document.source}"


def _is_ready(revision: Object) -> bool:
    ready = condition(revision, "Ready")
    return ready is not None and ready.get("status") != "False"
