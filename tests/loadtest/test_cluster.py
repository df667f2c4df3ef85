"""Measurements on a cluster, with a stub of kubectl and a real server at the address of the ingress."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from loadtest import cluster

KUBECTL = """#!{python}
import sys
words = sys.argv[1:]
open({log!r}, "a").write(" ".join(words) + "\\n")
if words[1] == "ksvc":
    print({urls}.get(words[2], ""), end="")
elif words[0] == "get":
    print("pod/one", end="")
"""


class Ingress(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hosts: list[str]

    def do_GET(self) -> None:
        self._answer(200)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self._answer(503 if self.headers["host"].startswith("broken") else 200)

    def _answer(self, status: int) -> None:
        self.hosts.append(f"{self.command} {self.headers['host']}{self.path}")
        self.send_response(status)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def ingress() -> Iterator[tuple[str, list[str]]]:
    hosts: list[str] = []
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Ingress,), {"hosts": hosts})) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", hosts
        server.shutdown()


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    log = tmp_path / "asked"
    urls = {name: f"http://{name}.default.example.com" for name in ("flights", "trivial", "broken")}
    program = tmp_path / "kubectl"
    program.write_text(KUBECTL.format(python=sys.executable, log=str(log), urls=urls))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    return log


def test_services_are_called_in_turns_from_zero_and_then_warm(
    ingress: tuple[str, list[str]], kubectl: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, hosts = ingress
    arguments = ["trivial", "flights", "--plain", "trivial", "--url", url, "--starts", "2", "--calls", "3", "--pause", "0"]
    assert cluster.main(arguments) == 0
    calls = ["GET trivial.default.example.com/", f"POST flights.default.example.com{cluster.PATH}"]
    starts, warm = hosts[:4], hosts[4:]
    assert [sorted(starts[:2]), sorted(starts[2:])] == [sorted(calls)] * 2
    assert warm == calls * (1 + 3)
    waits = [line for line in kubectl.read_text().splitlines() if line.startswith("wait --for=delete")]
    assert len(waits) == 2 * 2
    # A start of one may need that of another, such as the router's that of a function.
    assert all("(trivial,flights)" in line for line in waits)
    table = capsys.readouterr().out
    assert "| trivial | " in table
    assert "| 1.00 |" in table


def _order(seed: int, ingress: tuple[str, list[str]]) -> tuple[list[str], list[float]]:
    """Return the hosts in the order of their starts, and the pauses before them."""
    url, hosts = ingress
    hosts.clear()
    pauses: list[float] = []
    services = [cluster.service(name, scores=False) for name in ("trivial", "flights")]
    cluster.measure(url, services, cluster.Order(seed, 3.0, pauses.append), starts=6, calls=0)
    return hosts[:12], pauses


def test_order_and_pauses_are_random_and_equal_for_a_seed(ingress: tuple[str, list[str]], kubectl: Path) -> None:
    first, pauses = _order(7, ingress)
    assert (first, pauses) == _order(7, ingress)
    assert len({first[number] for number in range(0, 12, 2)}) == 2, "the same service begins every round"
    assert len(set(pauses)) == 12
    assert all(0 <= pause <= 3 for pause in pauses)


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([900, 1500, 910, 1490, 905], [[900, 905, 910], [1490, 1500]]),
        ([900, 950, 1000, 1050], [[900, 950, 1000, 1050]]),
        ([900, 910, 905, 4000], [[900, 905, 910, 4000]]),
        ([900], [[900]]),
    ],
    ids=["two", "one", "an accident is none", "a single start"],
)
def test_starts_fall_into_one_group_or_two(times: list[float], expected: list[list[float]]) -> None:
    assert cluster.modes(times) == expected


@pytest.mark.parametrize(("name", "sentence"), [("absent", "absent has no address yet"), ("broken", "broken answered 503: ok")])
def test_service_that_does_not_answer_is_named(
    ingress: tuple[str, list[str]], kubectl: Path, capsys: pytest.CaptureFixture[str], name: str, sentence: str
) -> None:
    assert cluster.main([name, "--url", ingress[0], "--starts", "0"]) == 1
    assert sentence in capsys.readouterr().err


def test_missing_kubectl_is_reported(
    ingress: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    assert cluster.main(["flights", "--url", ingress[0]]) == 1
    assert "kubectl is not on the PATH" in capsys.readouterr().err
