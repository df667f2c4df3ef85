"""What this user and the router may do."""

from __future__ import annotations

from collections.abc import Iterator

from tidegate.doctor.accessors import is_knative_service, mapping, mappings, name_of, text, workloads
from tidegate.doctor.cluster.client import Cluster, Resource
from tidegate.doctor.finding import Finding, Unseen, error, listed, note, ok
from tidegate.objects import Document, Object

_VERBS = ("get", "create", "patch")
_FOLLOWED = {"group": "serving.knative.dev", "resource": "services"}
_ROUTER_VERBS = ("list", "watch")
# The function whose image this is asks the API for services (functions.router).
_ROUTER_IMAGE = "router"


def check(cluster: Cluster) -> Iterator[Finding]:
    """Asks for each kind that is served. Fills `cluster.forbidden`. Raises Unseen."""
    where = set(_places(cluster))
    refused: dict[str, dict[str, list[str]]] = {}
    for resource, namespace in sorted(where, key=lambda place: (place[1], place[0].name)):
        verbs = [verb for verb in _VERBS if not _may(cluster, verb, resource, namespace)]
        if verbs:
            refused.setdefault(namespace, {})[full_name(resource)] = verbs
            cluster.forbidden |= {full_name(resource)} if {"create", "patch"} & set(verbs) else set()
    for namespace, resources in refused.items():
        yield _refusal(namespace, resources)
    if where and not refused:
        yield ok("rights", f"this user may {listed(_VERBS)} every kind of the manifests in {listed(sorted({place[1] for place in where}))}")


def router(cluster: Cluster) -> Iterator[Finding]:
    """The router follows the traffic blocks of services, by its service account."""
    for account, namespace in accounts(cluster):
        spec = {"user": f"system:serviceaccount:{namespace}:{account}"}
        try:
            denied = [verb for verb in _ROUTER_VERBS if not cluster.reviewed("SubjectAccessReview", spec | _attributes(verb, namespace))]
        except Unseen as reason:
            yield note("rights of the router", f"whether {account} may {listed(_ROUTER_VERBS)} services could not be looked at: {reason}")
            denied = list(_ROUTER_VERBS)
            if not grants(cluster.documents, account, namespace):
                continue
        yield from judge_router(cluster.documents, account, namespace, denied)


def judge_router(documents: list[Document], account: str, namespace: str, denied: list[str]) -> Iterator[Finding]:
    """`denied` is what the account may not do now; the manifests may be about to grant it."""
    subject = "rights of the router"
    if not denied:
        yield ok(subject, f"{account} may {listed(_ROUTER_VERBS)} the services in {namespace}")
    elif grants(documents, account, namespace):
        yield ok(subject, f"{account} will be allowed to {listed(_ROUTER_VERBS)} services by the manifests")
    else:
        elsewhere = sorted({place for place in granted_in(documents, account) if place != namespace})
        why = f", and the RoleBinding names the one in {listed(elsewhere)}" if elsewhere else ""
        remedy = f"give the overlay `namespace: {namespace}`, which kustomize writes into the RoleBinding too" if elsewhere else _BIND
        yield error(subject, f"{account} may not {listed(denied)} services in {namespace}{why}: the router would know no revision.", remedy)


_BIND = "bind the service account to a Role as in manifests/base/router/role.yaml"


def accounts(cluster: Cluster) -> list[tuple[str, str]]:
    """The service accounts of routers, with their namespaces."""
    found = []
    for workload in workloads(cluster.documents):
        images = [text(container, "image").partition("@")[0].rpartition("/")[2].partition(":")[0] for container in workload.containers]
        if is_knative_service(workload.document.object) and _ROUTER_IMAGE in images:
            found.append((text(workload.pod, "serviceAccountName") or "default", cluster.namespace_of(workload.document.object)))
    return found


def grants(documents: list[Document], account: str, namespace: str) -> bool:
    return namespace in granted_in(documents, account)


def granted_in(documents: list[Document], account: str) -> set[str]:
    """The namespaces of the account that a RoleBinding of the manifests names, if its Role lets it follow services."""
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


def _attributes(verb: str, namespace: str) -> Object:
    return {"resourceAttributes": {"verb": verb, "namespace": namespace, **_FOLLOWED}}


def _may(cluster: Cluster, verb: str, resource: Resource, namespace: str) -> bool:
    attributes = {"verb": verb, "group": resource.group, "resource": resource.name}
    if resource.namespaced:
        attributes["namespace"] = namespace
    return cluster.reviewed("SelfSubjectAccessReview", {"resourceAttributes": attributes})


def _places(cluster: Cluster) -> Iterator[tuple[Resource, str]]:
    for document in cluster.documents:
        resource = cluster.served.get((text(document.object, "apiVersion"), text(document.object, "kind")))
        if resource:
            yield resource, cluster.namespace_of(document.object)


def _refusal(namespace: str, resources: dict[str, list[str]]) -> Finding:
    told = "; ".join(f"{listed(verbs)} {name}" for name, verbs in sorted(resources.items()))
    verbs = ",".join(sorted({verb for item in resources.values() for verb in item}))
    command = f"kubectl -n {namespace} create role deployer --verb={verbs} --resource={','.join(sorted(resources))}"
    return error("rights", f"in {namespace} this user may not: {told}.", f"have an administrator grant it, such as: {command}")


def full_name(resource: Resource) -> str:
    return f"{resource.name}.{resource.group}" if resource.group else resource.name
