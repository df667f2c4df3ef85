"""Validation rules of containers and pods, in the wording of Knative's webhook, and the limits of a local process."""

from __future__ import annotations

from tidegate.local.objects.podspec import Container, PodSpec, Probe, RevisionSpec
from tidegate.local.objects.validation import InvalidObject, Stage, webhook_error

# Ports of queue-proxy, and variables that Knative sets in each container.
_RESERVED_PORTS = frozenset({8008, 8012, 8013, 8022, 9090, 9091})
_RESERVED_VARIABLES = frozenset({"PORT", "K_SERVICE", "K_CONFIGURATION", "K_REVISION"})


def check_revision(spec: RevisionSpec, where: str) -> None:
    """Check the specification at the path `where`. Raises InvalidObject for the first violation."""
    container = check_container(spec, where)
    path = f"{where}.containers[0]"
    if container.lifecycle is not None:
        raise InvalidObject(
            Stage.DECODING,
            f"{path}.lifecycle",
            "is an unknown field of a Knative Service, since queue-proxy drains before SIGTERM",
            remedy="remove it",
        )
    _check_ports(container, path)
    _check_environment(container, path)
    _check_volumes(spec, container, where)
    _check_probe(container.readiness_probe, f"{path}.readinessProbe")


def check_container(spec: PodSpec, where: str) -> Container:
    """Return the only container of a pod. Raises InvalidObject if it has several, or one that names no program."""
    if len(spec.containers) > 1 or spec.init_containers:
        raise InvalidObject(
            Stage.SCHEMA, f"{where}.containers", "has more than one container: tidegate up runs one process per replica", remedy="keep one"
        )
    container = spec.containers[0]
    if not container.command and not container.image:
        remedy = "name the image of the function, or set command"
        raise InvalidObject(Stage.SCHEMA, f"{where}.containers[0].image", "is missing", remedy=remedy)
    return container


def _check_ports(container: Container, path: str) -> None:
    if len(container.ports) > 1:
        words = "Only a single port is allowed across all containers"
        raise webhook_error("spec.template.spec.containers[*].ports", "more than one container port is set", words)
    for port in container.ports:
        if port.container_port in _RESERVED_PORTS:
            words = f"{port.container_port} is a reserved port"
            raise webhook_error(f"{path}.ports.containerPort", f"invalid value: {words}", f"{words}, please use a different value")
        if port.name not in (None, "", "http1", "h2c"):
            raise webhook_error(f"{path}.ports", f"Port name {port.name} is not allowed", "Name must be empty, or one of: 'h2c', 'http1'")


def _check_environment(container: Container, path: str) -> None:
    names = [variable.name for variable in container.env]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise InvalidObject(Stage.SCHEMA, f"{path}.env[{index}]", f'is a duplicate value: {{"name":"{name}"}}')
        if name in _RESERVED_VARIABLES:
            raise webhook_error(f"{path}.env[{index}].name", f'"{name}" is a reserved environment variable')


def _check_volumes(spec: RevisionSpec, container: Container, where: str) -> None:
    volumes, mounted = {volume.name for volume in spec.volumes}, {mount.name for mount in container.volume_mounts}
    for index, mount in enumerate(container.volume_mounts):
        path = f"{where}.containers[0].volumeMounts[{index}]"
        if mount.name not in volumes:
            raise webhook_error(f"{path}.name", "volumeMount has no matching volume")
        if not mount.mount_path.startswith("/"):
            raise webhook_error(f"{path}.mountPath", f"invalid value: {mount.mount_path}")
    for index, volume in enumerate(spec.volumes):
        if volume.name not in mounted:
            raise webhook_error(f"{where}.volumes[{index}].name", f'volume with name "{volume.name}" not mounted')


def _check_probe(probe: Probe | None, where: str) -> None:
    if probe is None:
        return
    if probe.period_seconds == 0 and probe.failure_threshold:
        raise webhook_error(f"{where}.failureThreshold", "failureThreshold is disallowed when periodSeconds is zero")
    if probe.period_seconds == 0 and "timeout_seconds" in probe.model_fields_set:
        raise webhook_error(f"{where}.timeoutSeconds", "timeoutSeconds is disallowed when periodSeconds is zero")
    if probe.exec_ is not None or probe.grpc is not None:
        raise InvalidObject(Stage.SCHEMA, where, "uses exec or gRPC, which tidegate up does not support", remedy="use httpGet or tcpSocket")
