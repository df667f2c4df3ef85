from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from tests.tidegate.doctor.cluster.kubeconfig import kubeconfig
from tidegate.doctor.cluster.client import Cluster, NoCluster, connect


def test_namespace_comes_from_the_context(tmp_path: Path) -> None:
    assert connect(kubeconfig(tmp_path, "http://x"), None)[1] == "default"
    assert connect(kubeconfig(tmp_path, "http://x", "mine"), None)[1] == "mine"
    assert connect(kubeconfig(tmp_path, "http://x", "mine"), "there")[1] == "elsewhere"


@pytest.mark.parametrize("content", [None, "", "{", "a: [b"])
def test_invalid_kubeconfig_is_named(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "kubeconfig"
    if content is not None:
        file.write_text(content)
    with pytest.raises(NoCluster, match=r"kubeconfig: .*; name a kubeconfig by --kubeconfig"):
        connect(file, None)


def test_unknown_context_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoCluster, match="nowhere"):
        connect(kubeconfig(tmp_path, "http://x"), "nowhere")


class _Api:
    """An API with a log of the previous run and one of the latest."""

    def __init__(self, previous: str, latest: str) -> None:
        self._logs = {"true": previous, "false": latest}

    def read(self, path: str, **query: str) -> str:
        assert path == "/api/v1/namespaces/mine/pods/stream-flights-1/log"
        return self._logs[query["previous"]]


@pytest.mark.parametrize(
    ("previous", "latest", "expected"),
    [
        ("before", "now", "before"),
        ("", "now", "now"),
        ("unable to retrieve container logs for containerd://59ee", "now", "now"),
        ("", "", ""),
    ],
    ids=["previous run", "first run", "container removed", "no permission"],
)
def test_log_is_of_the_previous_run_if_there_was_one(previous: str, latest: str, expected: str) -> None:
    pod = {"metadata": {"name": "stream-flights-1", "namespace": "mine"}}
    assert Cluster(cast("Any", _Api(previous, latest)), "mine", []).log(pod, "stream") == expected
