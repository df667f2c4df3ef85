"""Objects with two writers: two overlays applied over each other, or two tools."""

from __future__ import annotations

from collections.abc import Iterator

from tidegate.doctor.accessors import display_name, kubectl_name, mapping, mappings, text
from tidegate.doctor.cluster.target import Target
from tidegate.doctor.finding import Finding, Findings, NotInspectable, listed, note, warning
from tidegate.documents import Object

_OWNER_MARKS = (("labels", "tidegate.dev/overlay", "the overlay"), ("labels", "app.kubernetes.io/managed-by", "the manager"))
# Tools that keep objects as in their own source, by their names in managedFields. A person with kubectl counts as one.
_TOOLS = {
    "argocd-controller": "Argo CD",
    "helm": "Helm",
    "helm-controller": "Flux",
    "kustomize-controller": "Flux",
    "kubectl-client-side-apply": "kubectl apply",
    "kubectl": "kubectl apply",
    "skaffold": "Skaffold",
}


def check(target: Target) -> Findings[None]:
    """Check the writers of the objects that exist already."""
    failures: dict[str, NotInspectable] = {}
    for document in target.cluster.documents:
        try:
            live = target.live(document.object)
        except NotInspectable as reason:
            failures[display_name(document.object)] = reason
            continue
        if live is not None:
            yield from judge(document.object, live)
    if failures:
        yield note("overlays", f"{listed(list(failures))} could not be inspected: {next(iter(failures.values()))}")


def judge(ours: Object, live: Object) -> Iterator[Finding]:
    """Warnings for an object that another overlay has made, or that two tools write."""
    subject = display_name(ours)
    for place, mark, owner in _OWNER_MARKS:
        mine, theirs = (text(mapping(item, "metadata", place), mark) for item in (ours, live))
        if theirs and mine != theirs:
            message = (
                f"{owner} that created it is {theirs}, these manifests have {mine or 'none'} ({mark}): two are applied over each other."
            )
            yield warning(subject, message, "deploy one of them into another namespace (-n), or delete the object first")
    tools = sorted({_TOOLS[manager] for manager in managers(live) if manager in _TOOLS})
    if len(tools) > 1:
        message = f"{listed(tools)} both write its specification: each undoes the changes of the other."
        command = f"kubectl get {kubectl_name(live)} --show-managed-fields -o yaml"
        yield warning(subject, message, f"leave it to one of them; the writer of each field: {command}")


def managers(live: Object) -> list[str]:
    """The managers that wrote fields of the specification."""
    return [
        text(entry, "manager")
        for entry in mappings(mapping(live, "metadata").get("managedFields"))
        if not entry.get("subresource") and "f:spec" in mapping(entry, "fieldsV1")
    ]
