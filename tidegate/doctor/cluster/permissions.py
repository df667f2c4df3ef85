"""The permissions of this user and of the router."""

from __future__ import annotations

from collections.abc import Iterator

from urllib3.exceptions import HTTPError

from functions.runtime.knative.objects import SERVICES, SERVING_GROUP
from tidegate import image_reference
from tidegate.doctor.accessors import is_knative_service, mapping, mappings, name_of, text, workloads
from tidegate.doctor.cluster.client import Cluster
from tidegate.doctor.cluster.target import Resource, Served, resource_of
from tidegate.doctor.finding import Finding, Findings, NotInspectable, error, listed, note, ok
from tidegate.documents import Document, Object

SUBJECT, ROUTER_SUBJECT = "permissions", "permissions of the router"
_VERBS = ("get", "create", "patch")
_FOLLOWED = {"group": SERVING_GROUP, "resource": SERVICES}
_ROUTER_VERBS = ("list", "watch")
# The function that lists and watches services (functions.router).
_ROUTER = "router"


def check(cluster: Cluster, served: Served) -> Findings[set[str]]:
    """Check this user's permissions. Returns the full names of the resources that the user may not write."""
    places = set(_places(cluster, served))
    refused: dict[str, dict[str, list[str]]] = {}
    forbidden: set[str] = set()
    try:
        for resource, namespace in sorted(places, key=lambda place: (place[1], place[0].name)):
            verbs = [verb for verb in _VERBS if not _may(cluster, verb, resource, namespace)]
            if verbs:
                refused.setdefault(namespace, {})[resource.full_name] = verbs
            if {"create", "patch"} & set(verbs):
                forbidden.add(resource.full_name)
    except (NotInspectable, HTTPError) as reason:
        yield note(SUBJECT, f"could not be inspected: {reason}")
        return forbidden
    for namespace, resources in refused.items():
        yield _refusal(namespace, resources)
    if places and not refused:
        namespaces = listed(sorted({namespace for _, namespace in places}))
        yield ok(SUBJECT, f"this user may {listed(_VERBS)} every kind of the manifests in {namespaces}")
    return forbidden


def check_router(cluster: Cluster) -> Findings[None]:
    """Check that the router's service account may list and watch Knative Services, whose traffic blocks it follows."""
    for account, namespace in accounts(cluster):
        try:
            denied = [verb for verb in _ROUTER_VERBS if not _account_may(cluster, verb, account, namespace)]
        except NotInspectable as reason:
            yield note(ROUTER_SUBJECT, f"those of {account} could not be inspected: {reason}")
            denied = list(_ROUTER_VERBS)
            if not grants(cluster.documents, account, namespace):
                continue
        yield from judge_router(cluster.documents, account, namespace, denied)


def judge_router(documents: list[Document], account: str, namespace: str, denied: list[str]) -> Iterator[Finding]:
    """The finding of an account that is `denied` these verbs now; the manifests may be about to grant them."""
    subject = ROUTER_SUBJECT
    if not denied:
        yield ok(subject, f"{account} may {listed(_ROUTER_VERBS)} the services in {namespace}")
    elif grants(documents, account, namespace):
        yield ok(subject, f"{account} will be allowed to {listed(_ROUTER_VERBS)} services by the manifests")
    else:
        elsewhere = sorted({place for place in granted_in(documents, account) if place != namespace})
        why = f", and the RoleBinding names the one in {listed(elsewhere)}" if elsewhere else ""
        remedy = f"give the overlay `namespace: {namespace}`, which kustomize writes into the RoleBinding too" if elsewhere else _BIND
        yield error(subject, f"{account} may not {listed(denied)} services in {namespace}{why}: the router would find no revision.", remedy)


_BIND = "bind the service account to a Role as in manifests/base/router/role.yaml"


def accounts(cluster: Cluster) -> list[tuple[str, str]]:
    """The service accounts of routers, with their namespaces."""
    found = []
    for workload in workloads(cluster.documents):
        functions = [image_reference.parse(text(container, "image")).function for container in workload.containers]
        if is_knative_service(workload.document.object) and _ROUTER in functions:
            found.append((text(workload.pod, "serviceAccountName") or "default", cluster.namespace_of(workload.document.object)))
    return found


def grants(documents: list[Document], account: str, namespace: str) -> bool:
    """Whether the manifests let the account of this namespace follow services."""
    return namespace in granted_in(documents, account)


def granted_in(documents: list[Document], account: str) -> set[str]:
    """The account's namespaces in the manifests' RoleBindings whose Role lets it follow services."""
    objects = [document.object for document in documents]
    roles = {name_of(item) for item in objects if item.get("kind") in ("Role", "ClusterRole") and _lets_follow(item)}
    return {
        text(subject, "namespace")
        for item in objects
        if item.get("kind") in ("RoleBinding", "ClusterRoleBinding") and text(mapping(item, "roleRef"), "name") in roles
        for subject in mappings(item.get("subjects"))
        if text(subject, "name") == account
    }


def _lets_follow(role: Object) -> bool:
    wanted = (("apiGroups", [_FOLLOWED["group"]]), ("resources", [_FOLLOWED["resource"]]), ("verbs", list(_ROUTER_VERBS)))
    return any(all(_has(rule.get(field), names) for field, names in wanted) for rule in mappings(role.get("rules")))


def _has(given: object, names: list[str]) -> bool:
    return isinstance(given, list) and ("*" in given or set(names) <= set(given))


def _account_may(cluster: Cluster, verb: str, account: str, namespace: str) -> bool:
    attributes = {"verb": verb, "namespace": namespace, **_FOLLOWED}
    spec = {"user": f"system:serviceaccount:{namespace}:{account}", "resourceAttributes": attributes}
    return cluster.access_review("SubjectAccessReview", spec)


def _may(cluster: Cluster, verb: str, resource: Resource, namespace: str) -> bool:
    attributes = {"verb": verb, "group": resource.group, "resource": resource.name}
    if resource.namespaced:
        attributes["namespace"] = namespace
    return cluster.access_review("SelfSubjectAccessReview", {"resourceAttributes": attributes})


def _places(cluster: Cluster, served: Served) -> Iterator[tuple[Resource, str]]:
    for document in cluster.documents:
        resource = resource_of(document.object, served)
        if resource:
            yield resource, cluster.namespace_of(document.object)


def _refusal(namespace: str, resources: dict[str, list[str]]) -> Finding:
    denied = "; ".join(f"{listed(verbs)} {name}" for name, verbs in sorted(resources.items()))
    verbs = ",".join(sorted({verb for item in resources.values() for verb in item}))
    command = f"kubectl -n {namespace} create role deployer --verb={verbs} --resource={','.join(sorted(resources))}"
    return error(SUBJECT, f"in {namespace} this user may not: {denied}.", f"have an administrator grant them, such as: {command}")
