"""Strict models of a pod's specification. Fields without a meaning for a local process are accepted and ignored."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tidegate.local.objects.validation import Json, StrictModel

IntOrString = int | str


class KeyRef(StrictModel):
    name: str
    key: str
    optional: bool = False


class FieldRef(StrictModel):
    field_path: str
    api_version: str | None = None


class EnvVarSource(StrictModel):
    field_ref: FieldRef | None = None
    config_map_key_ref: KeyRef | None = None
    secret_key_ref: KeyRef | None = None
    resource_field_ref: Json = None


class EnvVar(StrictModel):
    name: str = Field(min_length=1)
    value: str | None = None
    value_from: EnvVarSource | None = None


class NameRef(StrictModel):
    name: str
    optional: bool = False


class EnvFromSource(StrictModel):
    prefix: str = ""
    config_map_ref: NameRef | None = None
    secret_ref: NameRef | None = None


class HttpHeader(StrictModel):
    name: str
    value: str


class HttpGet(StrictModel):
    path: str = "/"
    port: IntOrString | None = None
    host: str | None = None
    scheme: Literal["HTTP", "HTTPS"] = "HTTP"
    http_headers: list[HttpHeader] = Field([])


class TcpSocket(StrictModel):
    port: IntOrString | None = None
    host: str | None = None


class Probe(StrictModel):
    """A probe of a container.

    Times are in seconds; with a `period_seconds` of 0 Knative's queue-proxy probes every 50 ms.
    """

    http_get: HttpGet | None = None
    tcp_socket: TcpSocket | None = None
    exec_: Json = Field(None, alias="exec")
    grpc: Json = None
    initial_delay_seconds: int = Field(0, ge=0)
    timeout_seconds: int = Field(1, ge=0)
    period_seconds: int = Field(0, ge=0)
    success_threshold: int = Field(1, ge=0)
    failure_threshold: int | None = Field(None, ge=0)
    termination_grace_period_seconds: int | None = None


class ContainerPort(StrictModel):
    container_port: int = Field(8080, ge=0, le=65535)
    name: str | None = None
    protocol: Literal["TCP", "UDP", "SCTP"] = "TCP"
    host_port: int | None = None
    host_ip: str | None = Field(None, alias="hostIP")


class Resources(StrictModel):
    requests: dict[str, IntOrString | float] = Field({})
    limits: dict[str, IntOrString | float] = Field({})
    claims: Json = None


class Capabilities(StrictModel):
    add: list[str] = Field([])
    drop: list[str] = Field([])


class SeccompProfile(StrictModel):
    type: Literal["RuntimeDefault", "Unconfined", "Localhost"]
    localhost_profile: str | None = None


class SecurityContext(StrictModel):
    allow_privilege_escalation: bool | None = None
    capabilities: Capabilities | None = None
    privileged: bool | None = None
    proc_mount: str | None = None
    read_only_root_filesystem: bool | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    run_as_user: int | None = None
    seccomp_profile: SeccompProfile | None = None
    se_linux_options: Json = None
    app_armor_profile: Json = None
    windows_options: Json = None


class VolumeMount(StrictModel):
    name: str
    mount_path: str
    sub_path: str | None = None
    sub_path_expr: str | None = None
    read_only: bool | None = None
    mount_propagation: str | None = None
    recursive_read_only: str | None = None


class Container(StrictModel):
    name: str | None = None
    image: str | None = None
    command: list[str] = Field([])
    args: list[str] = Field([])
    working_dir: str | None = None
    env: list[EnvVar] = Field([])
    env_from: list[EnvFromSource] = Field([])
    ports: list[ContainerPort] = Field([])
    readiness_probe: Probe | None = None
    liveness_probe: Probe | None = None
    startup_probe: Probe | None = None
    lifecycle: Json = None
    resources: Resources | None = None
    security_context: SecurityContext | None = None
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    volume_mounts: list[VolumeMount] = Field([])
    volume_devices: Json = None
    resize_policy: Json = None
    restart_policy: str | None = None
    stdin: bool | None = None
    stdin_once: bool | None = None
    tty: bool | None = None
    termination_message_path: str | None = None
    termination_message_policy: str | None = None


class EmptyDir(StrictModel):
    medium: str | None = None
    size_limit: IntOrString | None = None


class Volume(StrictModel):
    name: str
    empty_dir: EmptyDir | None = None
    config_map: Json = None
    secret: Json = None
    projected: Json = None
    persistent_volume_claim: Json = None
    downward_api: Json = Field(None, alias="downwardAPI")
    host_path: Json = None
    csi: Json = None
    ephemeral: Json = None
    image: Json = None
    nfs: Json = None


class PodSpec(StrictModel):
    containers: list[Container] = Field(min_length=1)
    init_containers: list[Container] = Field([])
    volumes: list[Volume] = Field([])
    service_account_name: str | None = None
    automount_service_account_token: bool | None = None
    enable_service_links: bool | None = None
    image_pull_secrets: list[NameRef] = Field([])
    security_context: Json = None
    node_selector: dict[str, str] = Field({})
    affinity: Json = None
    tolerations: Json = None
    topology_spread_constraints: Json = None
    priority_class_name: str | None = None
    runtime_class_name: str | None = None
    scheduler_name: str | None = None
    termination_grace_period_seconds: int | None = Field(None, ge=0)
    restart_policy: str | None = None
    dns_policy: str | None = None
    dns_config: Json = None
    host_aliases: Json = None
    host_network: bool | None = None
    host_pid: bool | None = Field(None, alias="hostPID")
    host_ipc: bool | None = Field(None, alias="hostIPC")
    share_process_namespace: bool | None = None
    hostname: str | None = None
    subdomain: str | None = None


class RevisionSpec(PodSpec):
    """A pod specification with Knative's fields, in seconds and requests (serving.knative.dev/v1, RevisionSpec)."""

    container_concurrency: int = 0
    timeout_seconds: int = 300
    response_start_timeout_seconds: int | None = None
    idle_timeout_seconds: int | None = None
