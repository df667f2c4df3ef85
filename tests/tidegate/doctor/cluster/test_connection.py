from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import yaml
from urllib3.exceptions import SSLError

from tidegate.doctor.cluster import connection
from tidegate.doctor.cluster.client import Api, NoCluster, connect
from tidegate.doctor.finding import Finding, Level

Server = Callable[[dict[str, tuple[int, dict[str, Any]]]], AbstractContextManager[str]]
VERSION: dict[str, tuple[int, dict[str, Any]]] = {"/version": (200, {"gitVersion": "v1.34.4"}), "/apis": (200, {"groups": []})}


def _kubeconfig(tmp_path: Path, url: str, namespace: str | None = None) -> Path:
    place = {"cluster": "it", "user": "me", **({"namespace": namespace} if namespace else {})}
    other = {"cluster": "it", "user": "me", "namespace": "elsewhere"}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [{"name": "it", "cluster": {"server": url}}],
        "contexts": [{"name": "here", "context": place}, {"name": "there", "context": other}],
        "users": [{"name": "me", "user": {"token": "secret"}}],
    }
    file = tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump(content))
    return file


def _api(tmp_path: Path, url: str) -> Api:
    return connect(_kubeconfig(tmp_path, url), None)[0]


def _check(tmp_path: Path, url: str) -> list[Finding]:
    return list(connection.check(_api(tmp_path, url)))


def test_the_namespace_is_that_of_the_context(tmp_path: Path) -> None:
    assert connect(_kubeconfig(tmp_path, "http://x"), None)[1] == "default"
    assert connect(_kubeconfig(tmp_path, "http://x", "mine"), None)[1] == "mine"
    assert connect(_kubeconfig(tmp_path, "http://x", "mine"), "there")[1] == "elsewhere"


@pytest.mark.parametrize("content", [None, "", "{", "a: [b"])
def test_a_kubeconfig_that_is_none_is_told_with_its_name(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "kubeconfig"
    if content is not None:
        file.write_text(content)
    with pytest.raises(NoCluster, match=r"kubeconfig: .*; name a kubeconfig by --kubeconfig"):
        connect(file, None)


def test_a_context_that_there_is_not_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoCluster, match="nowhere"):
        connect(_kubeconfig(tmp_path, "http://x"), "nowhere")


def test_a_cluster_that_answers_tells_its_version(server: Server, tmp_path: Path) -> None:
    with server(VERSION) as address:
        (found,) = _check(tmp_path, f"http://{address}")
    assert found.level is Level.OK
    assert found.message == f"v1.34.4 at http://{address}"


def test_a_password_in_the_address_is_not_shown(server: Server, tmp_path: Path) -> None:
    with server(VERSION) as address:
        (found,) = _check(tmp_path, f"http://me:secret@{address}")
    assert found.message == f"v1.34.4 at http://{address}"


def test_who_came_without_credentials_is_told_so(server: Server, tmp_path: Path) -> None:
    sentence = 'forbidden: User "system:anonymous" cannot get path "/apis"'
    with server({**VERSION, "/apis": (403, {"message": sentence})}) as address:
        (found,) = _check(tmp_path, f"http://{address}")
    assert found.level is Level.ERROR
    assert "was given no credentials" in found.message


def test_a_certificate_of_another_host_is_one_sentence() -> None:
    problem = ssl.SSLCertVerificationError()
    problem.verify_message = "Hostname mismatch, certificate is not valid for 'a'."
    found = connection.unreachable(SSLError(problem), "https://a")
    assert found.message == "the certificate of https://a is not accepted: Hostname mismatch, certificate is not valid for 'a'."
    assert found.remedy.startswith("use the host name that is in the certificate")


def test_nobody_listens(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    (found,) = _check(tmp_path, url)
    assert found.message == f"refuses connections at {url}: nothing listens there."
    assert found.remedy


def test_a_name_that_nobody_knows(tmp_path: Path) -> None:
    (found,) = _check(tmp_path, "https://cluster.invalid:6443")
    assert found.message == "the name in https://cluster.invalid:6443 is not known here."


def test_no_tls_where_the_kubeconfig_says_https(server: Server, tmp_path: Path) -> None:
    with server(VERSION) as address:
        (found,) = _check(tmp_path, f"https://{address}")
    assert found.level is Level.ERROR
    assert "http instead of https" in found.remedy


@pytest.mark.parametrize(
    ("status", "words"), [(401, "does not accept the credentials"), (403, "may not even ask"), (502, "not as an API server does")]
)
def test_refusals_are_told_apart(server: Server, tmp_path: Path, status: int, words: str) -> None:
    with server(VERSION | {"/apis": (status, {"message": "no"})}) as address:
        (found,) = _check(tmp_path, f"http://{address}")
    assert found.level is Level.ERROR
    assert words in found.message


def test_a_tidegate_up_is_no_cluster(server: Server, tmp_path: Path) -> None:
    with server(VERSION | {"/tidegate/status": (200, {})}) as address:
        (found,) = _check(tmp_path, f"http://{address}")
    assert found.level is Level.ERROR
    assert "is a `tidegate up`" in found.message


def test_a_kubernetes_that_is_too_old_for_any_knative_of_ours(server: Server, tmp_path: Path) -> None:
    with server(VERSION | {"/version": (200, {"gitVersion": "v1.27.1-eks-1"})}) as address:
        _, found = _check(tmp_path, f"http://{address}")
    assert (found.level, found.subject) == (Level.ERROR, "Kubernetes")
    assert "Knative 1.18 needs 1.31 or newer" in found.message
