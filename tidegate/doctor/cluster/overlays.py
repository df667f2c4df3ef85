"""Objects that two sides write: two overlays applied over each other, or two tools."""

from __future__ import annotations

from collections.abc import Iterator

from tidegate.doctor.accessors import called, for_kubectl, mapping, mappings, text
from tidegate.doctor.cluster.client import Cluster
from tidegate.doctor.finding import Finding, Unseen, listed, note, warning
from tidegate.objects import Object

_OWNER_MARKS = (("labels", "tidegate.dev/overlay", "the overlay"), ("labels", "app.kubernetes.io/managed-by", "the manager"))
# Tools that keep objects as their own source says, by the name under which the API server notes them. A person with kubectl counts as one.
_TOOLS = {
    "argocd-controller": "Argo CD",
    "helm": "Helm",
    "helm-controller": "Flux",
    "kustomize-controller": "Flux",
    "kubectl-client-side-apply": "kubectl apply",
    "kubectl": "kubectl apply",
    "skaffold": "Skaffold",
}


def check(cluster: Cluster) -> Iterator[Finding]:
    unseen: dict[str, Unseen] = {}
    for document in cluster.documents:
        try:
            live = cluster.live(document.object)
        except Unseen as reason:
            unseen[called(document.object)] = reason
            continue
        if live is not None:
            yield from judge(document.object, live)
    if unseen:
        yield note("overlays", f"{listed(list(unseen))} could not be looked at: {next(iter(unseen.values()))}")


def judge(ours: Object, live: Object) -> Iterator[Finding]:
    subject = called(ours)
    for place, mark, what in _OWNER_MARKS:
        mine, theirs = (text(mapping(item, "metadata", place), mark) for item in (ours, live))
        if theirs and mine != theirs:
            told = (
                f"{what} that made it is {theirs}, these manifests are {mine or 'without that mark'} ({mark}): two applied over each other."
            )
            yield warning(subject, told, "deploy one of them into another namespace (-n), or delete the object first")
    tools = sorted({_TOOLS[manager] for manager in managers(live) if manager in _TOOLS})
    if len(tools) > 1:
        told = f"{listed(tools)} both write its specification: each undoes what the other did."
        yield warning(
            subject, told, f"leave it to one of them; who wrote which field: kubectl get {for_kubectl(live)} --show-managed-fields -o yaml"
        )


def managers(live: Object) -> list[str]:
    """Who wrote fields of the specification."""
    return [
        text(entry, "manager")
        for entry in mappings(mapping(live, "metadata").get("managedFields"))
        if not entry.get("subresource") and "f:spec" in mapping(entry, "fieldsV1")
    ]
