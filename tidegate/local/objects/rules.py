"""Validation rules of objects, in the wording of Knative's webhook, and the limits of local processes."""

from __future__ import annotations

import re

from tidegate.local.objects import container_rules, eventing_rules, scaling
from tidegate.local.objects.kinds import BY_VERSION, INGRESS_NAMES, KINDS
from tidegate.local.objects.podspec import RevisionSpec
from tidegate.local.objects.resources import Deployment, Event, KnativeService, Manifest, Role, RoleBinding, TrafficTarget
from tidegate.local.objects.scaling import Scaling
from tidegate.local.objects.validation import InvalidObject, Object, Stage, nearest, parse, webhook_error

# RFC 1035, section 2.3.1: Knative makes host names of these.
_LABEL = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_LONGEST_TIMEOUT = 600
# RFC 1123, section 2.1: the API server checks this before Knative's webhook.
_LONGEST_NAME = 253
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def parse_manifest(value: Object) -> Manifest:
    """Parse an object as the model of its kind. Raises InvalidObject for the first violation of a rule."""
    version, kind = value.get("apiVersion"), value.get("kind")
    model = KINDS.get((str(version), str(kind)))
    if model is None:
        known = sorted(f"{k} ({v})" for v, k in KINDS if k != "Revision")
        guess = nearest(f"{kind} ({version})", known)
        hint = f"did you mean {guess}?" if guess else f"known kinds: {', '.join(known)}"
        raise InvalidObject(Stage.SCHEMA, "kind", f"is {kind!r} of {version!r}, which tidegate up does not run; {hint}")
    manifest = parse(model, value)
    if not manifest.metadata.name:
        raise InvalidObject(Stage.SCHEMA, "metadata.name", "is missing", remedy="add it")
    kind = BY_VERSION[manifest.api_version, manifest.kind]
    if kind.served and not isinstance(manifest, Role | RoleBinding):  # their names may have a colon
        _check_names(manifest)
    if isinstance(manifest, KnativeService):
        _check_service(manifest)
    if isinstance(manifest, Event):
        _check_event(manifest)
    if isinstance(manifest, Deployment):
        container_rules.check_container(manifest.spec.template.spec, "spec.template.spec")
    eventing_rules.check(manifest)
    return manifest


def scaling_of(annotations: dict[str, str], spec: RevisionSpec, where: str = "metadata.annotations") -> Scaling:
    """The scaling of a revision. Raises InvalidObject, with the path `where`, for an invalid annotation."""
    return scaling.read(annotations, spec.container_concurrency, where)


def _check_names(manifest: Manifest) -> None:
    name, namespace = manifest.metadata.name or "", manifest.metadata.namespace
    if len(name) > _LONGEST_NAME or not _SUBDOMAIN.fullmatch(name):
        problem = f"is {name[:_LONGEST_NAME]!r}: a lowercase RFC 1123 subdomain consists of lower case letters, digits, '-' and '.'"
        raise InvalidObject(Stage.SCHEMA, "metadata.name", problem)
    if namespace is not None and not _NAMESPACE.fullmatch(namespace):
        problem = f"is {namespace[:_LONGEST_NAME]!r}: a lowercase RFC 1123 label consists of lower case letters, digits and '-'"
        raise InvalidObject(Stage.SCHEMA, "metadata.namespace", problem)


def _check_event(event: Event) -> None:
    involved = event.involved_object if isinstance(event.involved_object, dict) else {}
    if involved.get("namespace", "") != event.metadata.namespace:
        raise InvalidObject(Stage.SCHEMA, "involvedObject.namespace", "does not match event.namespace")


def _check_service(service: KnativeService) -> None:
    name = service.metadata.name or ""
    if not _LABEL.fullmatch(name):
        raise webhook_error("metadata.name", f"not a DNS 1035 label: {name!r}, want lower-case letters, digits and '-'")
    if name in INGRESS_NAMES.values():
        problem = f"is {name!r}, whose host receives events in tidegate up"
        raise InvalidObject(Stage.SCHEMA, "metadata.name", problem, remedy="choose another name")
    scaling.forbid_annotations(service.metadata.annotations, "metadata.annotations")
    template = service.spec.template
    _check_revision_name(template.metadata.name, name)
    scaling_of(template.metadata.annotations, template.spec, "spec.template.metadata.annotations")
    _check_revision(template.spec, "spec.template.spec")
    _check_traffic(service.spec.traffic)


def _check_revision_name(revision: str | None, service: str) -> None:
    field = "spec.template.metadata.name"
    if revision is None:
        return
    if not _LABEL.fullmatch(revision):
        raise webhook_error(field, f"invalid value: not a DNS 1035 label: {revision!r}")
    if not revision.startswith(f"{service}-"):
        raise webhook_error(field, f'invalid value: "{revision}" must have prefix "{service}-"')


def _check_revision(spec: RevisionSpec, where: str) -> None:
    if not 0 <= spec.timeout_seconds <= _LONGEST_TIMEOUT:
        raise webhook_error(f"{where}.timeoutSeconds", f"expected 0 <= {spec.timeout_seconds} <= {_LONGEST_TIMEOUT}")
    if not 0 <= spec.container_concurrency <= 1000:
        raise webhook_error(f"{where}.containerConcurrency", f"expected 0 <= {spec.container_concurrency} <= 1000")
    container_rules.check_revision(spec, where)


def _check_traffic(targets: list[TrafficTarget]) -> None:
    tags: dict[str, int] = {}
    for index, target in enumerate(targets):
        where = f"spec.traffic[{index}]"
        _check_target(target, where)
        if target.tag:
            if target.tag in tags:
                raise webhook_error(f"spec.traffic[{tags[target.tag]}].tag, {where}.tag", f'Multiple definitions for "{target.tag}"')
            tags[target.tag] = index
    total = sum(target.percent or 0 for target in targets)
    if targets and total != 100:
        raise webhook_error("spec.traffic", f"Traffic targets sum to {total}, want 100")


def _check_target(target: TrafficTarget, where: str) -> None:
    pinned = bool(target.revision_name)
    if target.latest_revision is not None and pinned == target.latest_revision:
        setting = "true" if target.latest_revision else "false"
        raise webhook_error(
            f"{where}.latestRevision", f'may not set revisionName "{target.revision_name or ""}" when latestRevision is {setting}'
        )
    for field, value in (("configurationName", target.configuration_name), ("url", target.url)):
        if value:
            raise webhook_error(f"{where}.{field}", "must not set the field(s)")
    if target.percent is not None and not 0 <= target.percent <= 100:
        raise webhook_error(f"{where}.percent", f"expected 0 <= {target.percent} <= 100")
    if target.tag and not _LABEL.fullmatch(target.tag):
        raise webhook_error(f"{where}.tag", f"invalid value: not a DNS 1035 label: {target.tag!r}")
