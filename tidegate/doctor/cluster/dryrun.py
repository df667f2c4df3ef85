"""Each object as the cluster would take it: webhooks, unknown fields, what cannot be changed. Nothing is kept."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tidegate.doctor.accessors import called, for_kubectl, mapping, name_of, text
from tidegate.doctor.cluster.client import Answer, Cluster
from tidegate.doctor.cluster.permissions import full_name
from tidegate.doctor.finding import Finding, Level, error, note, ok, warning
from tidegate.objects import Document, Object

_WEBHOOK = re.compile(r"failed calling webhook \"(?P<name>[^\"]+)\"")
_NO_ACCOUNT = re.compile(r'serviceaccount "([^"]+)" not found')


def check(cluster: Cluster) -> Iterator[Finding]:
    if not cluster.has_namespace:
        yield note("dry run", "is not made, since the namespace is not there")
        return
    taken = 0
    for document in cluster.documents:
        path = cluster.path(document.object)
        if path is None or _forbidden(cluster, document):
            continue
        findings = list(judge(document, _tried(cluster, path, document.object)))
        yield from findings
        taken += not any(found.level in (Level.ERROR, Level.NOTE) for found in findings)
    if taken and taken == len(cluster.documents):
        yield ok("dry run", f"the server would take all {taken} objects")
    elif taken:
        yield note("dry run", f"the server would take {taken} of {len(cluster.documents)} objects")


def _tried(cluster: Cluster, path: str, item: Object) -> Answer:
    """Knative's webhook tries a pod, which needs its service account: one that the same manifests make counts as there."""
    answer = cluster.applied(path, item)
    match = _NO_ACCOUNT.search(answer.sentence)
    made = {name_of(other.object) for other in cluster.documents if other.object.get("kind") == "ServiceAccount"}
    return cluster.applied(path, without_account(item)) if match and match[1] in made else answer


def without_account(service: Object) -> Object:
    """The same Knative Service for the namespace's default account."""
    spec, template = mapping(service, "spec"), mapping(service, "spec", "template")
    pod = {name: value for name, value in mapping(template, "spec").items() if name != "serviceAccountName"}
    return {**service, "spec": {**spec, "template": {**template, "spec": pod}}}


def judge(document: Document, answer: Answer) -> Iterator[Finding]:
    """The server's own sentence, with what to do about it."""
    subject = called(document.object)
    if answer.status == 403 and re.search(r"cannot (create|patch) resource", answer.sentence):
        yield note(subject, f"could not be tried: {answer.sentence}")
    elif answer.status not in (200, 201):
        yield error(subject, answer.sentence, _remedy(document, answer.sentence))
    for told in answer.warnings:
        yield warning(subject, _unquoted(told), f"mend {document.source}")


def _remedy(document: Document, sentence: str) -> str:
    if match := _WEBHOOK.search(sentence):
        return f"look whether what serves the webhook {match['name']} runs: kubectl get deployments -A"
    if "field is immutable" in sentence or "cannot change roleRef" in sentence:
        return f"kubectl delete {for_kubectl(document.object)}, and apply it anew"
    if "namespaces" in sentence and "not found" in sentence:
        return "make the namespace first"
    return f"mend {document.source}"


def _unquoted(warning_header: str) -> str:
    """`299 - "text"`, as HTTP writes a warning."""
    match = re.search(r'"(.*)"', warning_header)
    return match[1].replace('\\"', '"') if match else warning_header


def _forbidden(cluster: Cluster, document: Document) -> bool:
    resource = cluster.served[text(document.object, "apiVersion"), text(document.object, "kind")]
    return full_name(resource) in cluster.forbidden
