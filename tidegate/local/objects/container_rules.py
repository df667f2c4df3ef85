"""What a cluster would refuse of a container and its pod, in the words of Knative's webhook, and what no process can do."""

from __future__ import annotations

from tidegate.local.objects.podspec import Container, PodSpec, Probe, RevisionSpec
from tidegate.local.objects.validation import InvalidObject, Stage, refused

# What queue-proxy listens on, and what Knative tells each container.
_RESERVED_PORTS = frozenset({8008, 8012, 8013, 8022, 9090, 9091})
_RESERVED_VARIABLES = frozenset({"PORT", "K_SERVICE", "K_CONFIGURATION", "K_REVISION"})


def check_revision(spec: RevisionSpec, where: str) -> None:
    """Raises InvalidObject for the first thing; `where` is the path of the spec."""
    container = check_container(spec, where)
    path = f"{where}.containers[0]"
    if container.lifecycle is not None:
        raise InvalidObject(
            Stage.DECODING, f"{path}.lifecycle", "is an unknown field of a Knative Service; queue-proxy drains before SIGTERM"
        )
    _check_ports(container, path)
    _check_environment(container, path)
    _check_volumes(spec, container, where)
    _check_probe(container.readiness_probe, f"{path}.readinessProbe")


def check_container(spec: PodSpec, where: str) -> Container:
    if len(spec.containers) > 1 or spec.init_containers:
        raise InvalidObject(
            Stage.SCHEMA, f"{where}.containers", "has more than one container: tidegate up runs one process a replica; keep one"
        )
    container = spec.containers[0]
    if not container.command and not container.image:
        raise InvalidObject(Stage.SCHEMA, f"{where}.containers[0].image", "is missing; name the function's image, or give a command")
    return container


def _check_ports(container: Container, path: str) -> None:
    if len(container.ports) > 1:
        words = "Only a single port is allowed across all containers"
        raise refused("spec.template.spec.containers[*].ports", "more than one container port is set", words)
    for port in container.ports:
        if port.container_port in _RESERVED_PORTS:
            words = f"{port.container_port} is a reserved port"
            raise refused(f"{path}.ports.containerPort", f"invalid value: {words}", f"{words}, please use a different value")
        if port.name not in (None, "", "http1", "h2c"):
            raise refused(f"{path}.ports", f"Port name {port.name} is not allowed", "Name must be empty, or one of: 'h2c', 'http1'")


def _check_environment(container: Container, path: str) -> None:
    names = [variable.name for variable in container.env]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise InvalidObject(Stage.SCHEMA, f"{path}.env[{index}]", f'is a duplicate value: {{"name":"{name}"}}')
        if name in _RESERVED_VARIABLES:
            raise refused(f"{path}.env[{index}].name", f'"{name}" is a reserved environment variable')


def _check_volumes(spec: RevisionSpec, container: Container, where: str) -> None:
    volumes, mounted = {volume.name for volume in spec.volumes}, {mount.name for mount in container.volume_mounts}
    for index, mount in enumerate(container.volume_mounts):
        path = f"{where}.containers[0].volumeMounts[{index}]"
        if mount.name not in volumes:
            raise refused(f"{path}.name", "volumeMount has no matching volume")
        if not mount.mount_path.startswith("/"):
            raise refused(f"{path}.mountPath", f"invalid value: {mount.mount_path}")
    for index, volume in enumerate(spec.volumes):
        if volume.name not in mounted:
            raise refused(f"{where}.volumes[{index}].name", f'volume with name "{volume.name}" not mounted')


def _check_probe(probe: Probe | None, where: str) -> None:
    if probe is None:
        return
    if probe.period_seconds == 0 and probe.failure_threshold:
        raise refused(f"{where}.failureThreshold", "failureThreshold is disallowed when periodSeconds is zero")
    if probe.period_seconds == 0 and "timeout_seconds" in probe.model_fields_set:
        raise refused(f"{where}.timeoutSeconds", "timeoutSeconds is disallowed when periodSeconds is zero")
    if probe.exec_ is not None or probe.grpc is not None:
        raise InvalidObject(Stage.SCHEMA, where, "asks by exec or gRPC, which tidegate up cannot do; use httpGet or tcpSocket")
