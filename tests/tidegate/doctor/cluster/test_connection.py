from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from urllib3.exceptions import SSLError

from tests.tidegate.doctor.cluster.kubeconfig import kubeconfig
from tidegate.doctor.cluster import connection
from tidegate.doctor.cluster.client import Api, connect
from tidegate.doctor.finding import Finding, Level

Server = Callable[[dict[str, tuple[int, dict[str, Any]]]], AbstractContextManager[str]]
VERSION: dict[str, tuple[int, dict[str, Any]]] = {"/version": (200, {"gitVersion": "v1.34.4"}), "/apis": (200, {"groups": []})}


def _api(tmp_path: Path, url: str) -> Api:
    return connect(kubeconfig(tmp_path, url), None)[0]


def _check(tmp_path: Path, url: str) -> list[Finding]:
    return list(connection.check(_api(tmp_path, url)))


def test_reachable_cluster_has_its_version(server: Server, tmp_path: Path) -> None:
    with server(VERSION) as address:
        (found,) = _check(tmp_path, f"http://{address}")
    assert found.level is Level.OK
    assert found.message == f"v1.34.4 at http://{address}"


def test_password_in_the_url_is_not_shown(server: Server, tmp_path: Path) -> None:
    with server(VERSION) as address:
        (found,) = _check(tmp_path, f"http://me:secret@{address}")
    assert found.message == f"v1.34.4 at http://{address}"


def test_anonymous_request_is_reported_as_missing_credentials(server: Server, tmp_path: Path) -> None:
    sentence = 'forbidden: User "system:anonymous" cannot get path "/apis"'
    with server({**VERSION, "/apis": (403, {"message": sentence})}) as address:
        (found,) = _check(tmp_path, f"http://{address}")
    assert found.level is Level.ERROR
    assert "received no credentials" in found.message


def test_certificate_of_another_host_has_reason_and_remedy() -> None:
    problem = ssl.SSLCertVerificationError()
    problem.verify_message = "Hostname mismatch, certificate is not valid for 'a'."
    found = connection.unreachable(SSLError(problem), "https://a")
    assert found.message == "the certificate of https://a is not accepted: Hostname mismatch, certificate is not valid for 'a'."
    assert found.remedy.startswith("use the host name that is in the certificate")


def test_refused_connection_is_an_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    (found,) = _check(tmp_path, url)
    assert found.message == f"refuses connections at {url}: no process listens there."
    assert found.remedy


def test_unknown_host_name_is_an_error(tmp_path: Path) -> None:
    (found,) = _check(tmp_path, "https://cluster.invalid:6443")
    assert found.message == "the host name in https://cluster.invalid:6443 is unknown."


def test_https_url_of_an_http_server_is_an_error(server: Server, tmp_path: Path) -> None:
    with server(VERSION) as address:
        (found,) = _check(tmp_path, f"https://{address}")
    assert found.level is Level.ERROR
    assert "http instead of https" in found.remedy


@pytest.mark.parametrize(
    ("status", "words"), [(401, "does not accept the credentials"), (403, "may not even read"), (502, "unlike an API server")]
)
def test_refusals_have_different_reasons(server: Server, tmp_path: Path, status: int, words: str) -> None:
    with server(VERSION | {"/apis": (status, {"message": "no"})}) as address:
        (found,) = _check(tmp_path, f"http://{address}")
    assert found.level is Level.ERROR
    assert words in found.message


def test_tidegate_up_is_not_a_cluster(server: Server, tmp_path: Path) -> None:
    with server(VERSION | {"/tidegate/status": (200, {})}) as address:
        (found,) = _check(tmp_path, f"http://{address}")
    assert found.level is Level.ERROR
    assert "is a `tidegate up`" in found.message


def test_kubernetes_too_old_for_knative_is_an_error(server: Server, tmp_path: Path) -> None:
    with server(VERSION | {"/version": (200, {"gitVersion": "v1.27.1-eks-1"})}) as address:
        _, found = _check(tmp_path, f"http://{address}")
    assert (found.level, found.subject) == (Level.ERROR, "Kubernetes")
    assert "Knative 1.18 needs 1.31 or newer" in found.message
