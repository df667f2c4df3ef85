"""The place that the manifests are deployed to, as the first checks of a cluster have found it."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from urllib.parse import quote

from tidegate.doctor.accessors import name_of, text
from tidegate.doctor.cluster.client import Cluster
from tidegate.documents import Object


@dataclass(frozen=True, kw_only=True, slots=True)
class Resource:
    """A kind as the cluster serves it. `name` is its name in paths, such as `services`."""

    group_version: str
    name: str
    namespaced: bool

    @property
    def group(self) -> str:
        return self.group_version.rpartition("/")[0]

    @property
    def full_name(self) -> str:
        """The name with its group, as in roles: `services.serving.knative.dev`."""
        return f"{self.name}.{self.group}" if self.group else self.name

    def path(self, namespace: str) -> str:
        """The path of its objects in a namespace, or of all objects of a kind that has no namespaces."""
        root = f"/apis/{self.group_version}" if "/" in self.group_version else f"/api/{self.group_version}"
        return f"{root}/namespaces/{quote(namespace)}/{self.name}" if self.namespaced else f"{root}/{self.name}"


Served = Mapping[tuple[str, str], Resource]
"""The kinds of the manifests that the cluster serves, by apiVersion and kind."""


def resource_of(item: Object, served: Served) -> Resource | None:
    """The resource of an object; None for a kind that is not served."""
    return served.get((text(item, "apiVersion"), text(item, "kind")))


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A cluster with the kinds that it serves.

    `forbidden` are the full names of resources that this user may not write.
    """

    cluster: Cluster
    served: Served
    has_namespace: bool = True
    forbidden: Set[str] = field(default_factory=frozenset)

    def path(self, item: Object) -> str | None:
        """The path of the object, whether or not it exists; None for a kind that is not served."""
        resource = resource_of(item, self.served)
        return f"{resource.path(self.cluster.namespace_of(item))}/{quote(name_of(item))}" if resource and name_of(item) else None

    def live(self, item: Object) -> Object | None:
        """The object of the same name on the cluster; None if there is none. Raises NotInspectable."""
        path = self.path(item)
        return self.cluster.get(path) if path and self.has_namespace else None

    def is_forbidden(self, item: Object) -> bool:
        resource = resource_of(item, self.served)
        return resource is not None and resource.full_name in self.forbidden
