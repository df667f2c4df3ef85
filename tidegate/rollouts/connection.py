"""The Kubernetes API of a command: that of a cluster that is named, or of the running `tidegate up`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from kubernetes import client, config
from kubernetes.config import kube_config
from yaml import YAMLError

from common.errors import RemediedError
from functions.rollout.cluster import Cluster
from tidegate.local.state import Running

# The package has types for a part of itself only.
_LOAD: Callable[..., Any] = config.load_kube_config
_LOADER: Callable[..., Any] = kube_config.KubeConfigLoader
_MERGER: Callable[..., Any] = kube_config.KubeConfigMerger


class NoCluster(RemediedError):
    """The kubeconfig names no cluster that can be used."""


def of_cluster(kubeconfig: Path | None, context: str | None, namespace: str | None) -> Cluster:
    """The cluster of a kubeconfig's context; by default the current one of KUBECONFIG or ~/.kube/config."""
    file = str(kubeconfig) if kubeconfig else None
    configuration: Any = client.Configuration()
    try:
        _LOAD(config_file=file, context=context, client_configuration=configuration)
        chosen = _context(file, context)
    except (config.ConfigException, OSError) as error:
        raise NoCluster(f"no cluster can be used: {str(error).rstrip('.')}", remedy="name it by --kubeconfig and --context") from None
    except (YAMLError, ValueError, TypeError, AttributeError, KeyError):  # the client does not check what is in the file
        what = "kubeconfig" if kubeconfig is None else str(kubeconfig)
        raise NoCluster(f"no cluster can be used: {what} is not a kubeconfig", remedy="name another one by --kubeconfig") from None
    return Cluster(configuration, namespace or chosen.get("namespace") or "default")


def of_local(running: Running) -> Cluster:
    """The API of a running `tidegate up`."""
    configuration: Any = client.Configuration()
    _LOAD(config_file=running.kubeconfig, client_configuration=configuration)
    configuration.proxy = None  # a proxy of the environment does not lead back to this machine
    return Cluster(configuration, "default")


def _context(file: str | None, name: str | None) -> dict[str, Any]:
    """The context of this name, or the current one, which a kubeconfig need not have if one is named."""
    merged = _MERGER(file or kube_config.KUBE_CONFIG_DEFAULT_LOCATION).config
    found: dict[str, Any] = _LOADER(config_dict=merged, active_context=name).current_context["context"]
    return found
