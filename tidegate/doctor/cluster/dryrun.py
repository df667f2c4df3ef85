"""Dry runs of each object: webhooks, unknown fields, immutable fields. Nothing is stored."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tidegate.doctor.accessors import display_name, kubectl_name, mapping, name_of
from tidegate.doctor.cluster.client import Answer, Cluster
from tidegate.doctor.cluster.target import Target
from tidegate.doctor.finding import Finding, Findings, Level, error, note, ok, warning
from tidegate.documents import Document, Object

_WEBHOOK = re.compile(r"failed calling webhook \"(?P<name>[^\"]+)\"")
_NO_ACCOUNT = re.compile(r'serviceaccount "([^"]+)" not found')


def check(target: Target) -> Findings[None]:
    """Dry-run each object that the cluster serves and this user may write."""
    if not target.has_namespace:
        yield note("dry run", "skipped, since the namespace does not exist")
        return
    cluster, accepted = target.cluster, 0
    for document in cluster.documents:
        path = target.path(document.object)
        if path is None or target.is_forbidden(document.object):
            continue
        findings = list(judge(document, _try_apply(cluster, path, document.object)))
        yield from findings
        accepted += not any(found.level in (Level.ERROR, Level.NOTE) for found in findings)
    if accepted and accepted == len(cluster.documents):
        yield ok("dry run", f"the server accepts all {accepted} objects")
    elif accepted:
        yield note("dry run", f"the server accepts {accepted} of {len(cluster.documents)} objects")


def _try_apply(cluster: Cluster, path: str, item: Object) -> Answer:
    """Dry-run the object.

    Knative's webhook tries a pod, whose service account counts as existing if the manifests have it.
    """
    answer = cluster.try_apply(path, item)
    match = _NO_ACCOUNT.search(answer.sentence)
    made = {name_of(other.object) for other in cluster.documents if other.object.get("kind") == "ServiceAccount"}
    return cluster.try_apply(path, without_account(item)) if match and match[1] in made else answer


def without_account(service: Object) -> Object:
    """The Knative Service with the namespace's default account."""
    spec, template = mapping(service, "spec"), mapping(service, "spec", "template")
    pod = {name: value for name, value in mapping(template, "spec").items() if name != "serviceAccountName"}
    return {**service, "spec": {**spec, "template": {**template, "spec": pod}}}


def judge(document: Document, answer: Answer) -> Iterator[Finding]:
    """The findings of a response: the server's message with a remedy, and its warnings."""
    subject = display_name(document.object)
    if answer.status == 403 and re.search(r"cannot (create|patch) resource", answer.sentence):
        yield note(subject, f"could not be dry-run: {answer.sentence}")
    elif answer.status not in (200, 201):
        yield error(subject, answer.sentence, _remedy(document, answer.sentence))
    for header in answer.warnings:
        yield warning(subject, _unquoted(header), f"fix {document.source}")


def _remedy(document: Document, sentence: str) -> str:
    if match := _WEBHOOK.search(sentence):
        return f"check that the server of the webhook {match['name']} runs: kubectl get deployments -A"
    if "field is immutable" in sentence or "cannot change roleRef" in sentence:
        return f"kubectl delete {kubectl_name(document.object)}, and apply it again"
    if "namespaces" in sentence and "not found" in sentence:
        return "create the namespace first"
    return f"fix {document.source}"


def _unquoted(warning_header: str) -> str:
    """The text of a warning header, `299 - "text"`."""
    match = re.search(r'"(.*)"', warning_header)
    return match[1].replace('\\"', '"') if match else warning_header
