"""Quotas and limit ranges of a namespace, against one replica of each workload."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from tidegate.doctor import quantity
from tidegate.doctor.accessors import Workload, mapping, mappings, name_of, text
from tidegate.doctor.finding import Finding, Level, error, listed, note, ok, warning
from tidegate.documents import Object

Amounts = dict[str, Decimal]

# Knative adds a queue-proxy to each pod; this is config-deployment's default of queue-sidecar-cpu-request.
_QUEUE_PROXY_CPU = Decimal("0.025")
# The annotations for its other requests and limits, where config-deployment has none.
_PROXY = "queue.sidecar.serving.knative.dev/"
_SHORT = {"cpu": "requests.cpu", "memory": "requests.memory"}
_COUNTED = ("requests.cpu", "requests.memory", "limits.cpu", "limits.memory", "pods")


def needed(workloads: list[Workload]) -> Amounts:
    """The requests and limits of one replica of each, summed."""
    sums: Amounts = {"pods": Decimal(len(workloads))}
    for workload in workloads:
        for container in workload.containers:
            for kind in ("requests", "limits"):
                for name, value in mapping(container, "resources", kind).items():
                    sums[f"{kind}.{name}"] = sums.get(f"{kind}.{name}", Decimal(0)) + quantity.parse(value)
        if workload.on_knative:
            sums["requests.cpu"] = sums.get("requests.cpu", Decimal(0)) + _QUEUE_PROXY_CPU
    return sums


def quotas(found: list[Object], workloads: list[Workload], defaults: set[str]) -> Iterator[Finding]:
    """The findings of the namespace's ResourceQuotas.

    `defaults` are the amounts that a LimitRange gives to containers that name none.
    """
    need = needed(workloads)
    for quota in found:
        subject = f"quota {name_of(quota)}"
        spec = mapping(quota, "spec")
        if spec.get("scopes") or spec.get("scopeSelector"):
            yield note(subject, "applies to some pods only (scopes); not inspected.")
            continue
        findings = [*_sums(subject, quota, need), *_unnamed(subject, spec, workloads, defaults)]
        yield from findings or [ok(subject, "has room for one replica of each")]


def _sums(subject: str, quota: Object, need: Amounts) -> Iterator[Finding]:
    hard = mapping(quota, "status", "hard") or mapping(quota, "spec", "hard")
    used = mapping(quota, "status", "used")
    for name, value in hard.items():
        full = _SHORT.get(name, name)
        if full not in _COUNTED or full not in need:
            continue
        most, left = quantity.parse(value), quantity.parse(value) - quantity.parse(used.get(name, 0))
        if need[full] > left:
            level = Level.ERROR if need[full] > most else Level.WARNING
            wanted, rest, of = (quantity.formatted(amount, full) for amount in (need[full], left, most))
            message = f"{full}: one replica of each needs {wanted}, {rest} of {of} are left."
            yield Finding(level, subject, message, "have the quota raised, lower the requests, or deploy into another namespace")


def _unnamed(subject: str, spec: Object, workloads: list[Workload], defaults: set[str]) -> Iterator[Finding]:
    """The resources with a quota that containers do not name: the cluster refuses their pods."""
    bounded = [_SHORT.get(name, name) for name in mapping(spec, "hard")]
    for name in sorted(item for item in bounded if item in _COUNTED and item not in ("pods", *defaults)):
        kind, _, resource = name.partition(".")
        bare = [item.name for item in workloads if any(not _names(container, kind, resource) for container in item.containers)]
        proxied = [item.name for item in workloads if _has_bare_proxy(item, kind, resource)]
        if proxied:
            yield warning(
                subject,
                f"bounds {name}, which Knative's queue-proxy in the pods of {listed(proxied)} names only if the cluster is configured to.",
                f"annotate their templates with {_PROXY}{resource}-resource-{kind.removesuffix('s')}, or have a LimitRange give a default",
            )
        if bare:
            yield error(
                subject,
                f"bounds {name}, which {listed(bare)} do not name: their pods are refused.",
                f"name resources.{name} in their containers, or have a LimitRange give a default",
            )


def _has_bare_proxy(workload: Workload, kind: str, resource: str) -> bool:
    annotation = f"{_PROXY}{resource}-resource-{kind.removesuffix('s')}"
    return workload.on_knative and (kind, resource) != ("requests", "cpu") and annotation not in mapping(workload.metadata, "annotations")


def _names(container: Object, kind: str, resource: str) -> bool:
    resources = mapping(container, "resources")
    # A resource that is limited and not requested is requested at its limit.
    return resource in mapping(resources, kind) or (kind == "requests" and resource in mapping(resources, "limits"))


def defaults(ranges: list[Object]) -> set[str]:
    """The amounts that LimitRanges give to containers that name none, such as `limits.cpu`."""
    found = set()
    for item in _of_containers(ranges):
        # A maximum is also the default, unless there is another.
        limits = {*mapping(item, "default"), *mapping(item, "max")}
        found |= {f"limits.{name}" for name in limits} | {
            f"requests.{name}" for name in {*limits, *mapping(item, "defaultRequest"), *mapping(item, "min")}
        }
    return found


def ranges(found: list[Object], workloads: list[Workload]) -> Iterator[Finding]:
    """An error for each container that is outside the bounds of a LimitRange."""
    for item in _of_containers(found):
        for workload in workloads:
            for container in workload.containers:
                yield from _outside(item, workload, mapping(container, "resources"))


def _outside(item: Object, workload: Workload, resources: Object) -> Iterator[Finding]:
    for name, most in mapping(item, "max").items():
        for kind in ("requests", "limits"):
            value = mapping(resources, kind).get(name)
            if value is not None and quantity.parse(value) > quantity.parse(most):
                yield error(
                    "limit range",
                    f"{workload.name}: {kind}.{name} is {value}; at most {most} is allowed.",
                    f"lower resources.{kind}.{name}",
                )
    for name, least in mapping(item, "min").items():
        value = mapping(resources, "requests").get(name)
        if value is not None and quantity.parse(value) < quantity.parse(least):
            yield error(
                "limit range",
                f"{workload.name}: requests.{name} is {value}; at least {least} is required.",
                f"raise resources.requests.{name}",
            )


def _of_containers(ranges: list[Object]) -> list[Object]:
    return [item for found in ranges for item in mappings(mapping(found, "spec").get("limits")) if text(item, "type") == "Container"]
