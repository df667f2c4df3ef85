"""Command line and environment of a process, as pure functions of its container."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from tidegate import image_reference
from tidegate.documents import InvalidManifest
from tidegate.local.objects.podspec import Container, EnvFromSource, EnvVar, KeyRef
from tidegate.local.objects.resources import Metadata
from tidegate.local.processes import start

_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)")
_LABEL_FIELD = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")
_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """Fields of a pod that a container may refer to, and the ConfigMaps that it may read, by name."""

    name: str
    metadata: Metadata
    service_account: str = "default"
    config_maps: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def environment(container: Container, pod: Pod, known: Mapping[str, str] = MappingProxyType({})) -> dict[str, str]:
    """Variables of the container. Raises InvalidManifest for one whose source does not exist outside a cluster.

    Values in `known` replace those of the manifest, so that a variable from a Secret needs none where this machine has
    a value.
    """
    env: dict[str, str] = {}
    for source in container.env_from:
        env |= _from_source(source, pod)
    for variable in container.env:
        if variable.name in known:
            env[variable.name] = known[variable.name]
        elif (value := _value(variable, pod)) is not None:
            env[variable.name] = expand(value, env)
    return env


def argv(container: Container, env: Mapping[str, str]) -> list[str]:
    """The command line of the manifest, or else the one of the function that the image is named after."""
    words = [expand(word, env) for word in (*container.command, *container.args)]
    if container.command:
        return [_python(words[0]), *words[1:]]
    return [sys.executable, "-P", start.__file__, module_of(container.image or ""), *words]


def module_of(image: str) -> str:
    """The module of a function's image: `registry:5000/team/flights:1@sha256:...` runs `functions.flights`."""
    return f"functions.{image_reference.parse(image).function.replace('-', '_')}"


def expand(text: str, env: Mapping[str, str]) -> str:
    """Expand Kubernetes' references `$(NAME)`: an unknown name is left unchanged, `$$` is a dollar sign."""
    return _REFERENCE.sub(lambda match: "$" if match[0] == "$$" else env.get(match[1], match[0]), text)


def _python(program: str) -> str:
    # The interpreter of this process, which has the same packages.
    return sys.executable if program in ("python", "python3") else shutil.which(program) or program


def _value(variable: EnvVar, pod: Pod) -> str | None:
    source = variable.value_from
    if source is None:
        return variable.value or ""
    if source.field_ref:
        return _field(source.field_ref.field_path, variable.name, pod)
    if source.config_map_key_ref:
        return _config(source.config_map_key_ref, variable.name, pod)
    if source.secret_key_ref and source.secret_key_ref.optional:
        return None
    raise InvalidManifest(
        f"{pod.name}: the variable {variable.name} refers to a Secret or a resource, which a process does not have",
        remedy="give it a value, or take it from a ConfigMap",
    )


def _field(path: str, variable: str, pod: Pod) -> str:
    known: dict[str, Callable[[], str]] = {
        "metadata.name": lambda: pod.name,
        "metadata.namespace": lambda: pod.metadata.namespace or "default",
        "metadata.uid": lambda: pod.metadata.uid or "",
        "spec.serviceAccountName": lambda: pod.service_account,
        "spec.nodeName": lambda: "localhost",
        "status.podIP": lambda: _LOOPBACK,
        "status.hostIP": lambda: _LOOPBACK,
    }
    if path in known:
        return known[path]()
    if match := _LABEL_FIELD.fullmatch(path):
        return (pod.metadata.labels if match[1] == "labels" else pod.metadata.annotations).get(match[2], "")
    raise InvalidManifest(f"{pod.name}: the variable {variable} refers to the unknown field {path}; known fields: {', '.join(known)}.")


def _config(ref: KeyRef, variable: str, pod: Pod) -> str | None:
    values = pod.config_maps.get(ref.name)
    if values is not None and ref.key in values:
        return values[ref.key]
    if ref.optional:
        return None
    missing = f"the ConfigMap {ref.name}" if values is None else f"the key {ref.key} in the ConfigMap {ref.name}"
    raise InvalidManifest(f"{pod.name}: the variable {variable} needs {missing}, which the manifests do not have", remedy="add it")


def _from_source(source: EnvFromSource, pod: Pod) -> dict[str, str]:
    if source.secret_ref and not source.secret_ref.optional:
        message = f"{pod.name}: envFrom names the Secret {source.secret_ref.name}, which tidegate up cannot read"
        raise InvalidManifest(message, remedy="use a ConfigMap")
    if source.config_map_ref is None:
        return {}
    values = pod.config_maps.get(source.config_map_ref.name)
    if values is None and not source.config_map_ref.optional:
        message = f"{pod.name}: envFrom names the ConfigMap {source.config_map_ref.name}, which the manifests do not have"
        raise InvalidManifest(message, remedy="add it")
    return {f"{source.prefix}{name}": value for name, value in (values or {}).items()}
