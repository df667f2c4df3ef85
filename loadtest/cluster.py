"""Functions on a cluster, side by side: how long an answer takes from zero, and how long when all is warm.

`python -m loadtest.cluster --url http://127.0.0.1:31080 flights router trivial` calls Knative Services by turns, so that whatever else
happens on the cluster happens to all of them. kubectl tells their hosts, and when their last pod has gone.
"""

from __future__ import annotations

import argparse
import http.client
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from importlib.resources import files
from statistics import median
from urllib.parse import urlsplit

from eventing.errors import TidegateError
from loadtest import target

PATH = "/v2/models/flights/infer"
# A pod may take the whole grace of its revision to go; and a start whatever the cluster grants it.
_GONE_SECONDS = 600
_ANSWER_SECONDS = 120.0


class ClusterFailed(TidegateError):
    """kubectl is missing or refuses, or a service does not answer."""


@dataclass(frozen=True, slots=True)
class Service:
    """A Knative Service by name; `host` is what its calls are addressed to. One that is no model of ours is asked for `/`."""

    name: str
    host: str
    scores: bool


@dataclass(slots=True)
class Measured:
    """Milliseconds until the answer was there."""

    from_zero: list[float]
    warm: list[float]


def measure(url: str, services: Sequence[Service], *, starts: int, calls: int) -> dict[str, Measured]:
    """Each service `starts` times from zero, then `calls` times warm on one connection each. Raises ClusterFailed."""
    found = {service.name: Measured([], []) for service in services}
    for number in range(1, starts + 1):
        for service in services:
            _until_gone(service)
            with closing(_connect(url)) as connection:
                took = _call(connection, service)
            found[service.name].from_zero.append(took)
            print(f"  start {number} of {starts}: {service.name} {took:.0f} ms", file=sys.stderr)
    with ExitStack() as stack:
        connections = {service.name: stack.enter_context(closing(_connect(url))) for service in services}
        for _ in range(calls + 1):
            for service in services:
                found[service.name].warm.append(_call(connections[service.name], service))
    for measured in found.values():
        del measured.warm[0]  # the connection's first call
    return found


def service(name: str, *, scores: bool) -> Service:
    """Raises ClusterFailed when there is none of that name, or it has no address yet."""
    url = _kubectl("get", "ksvc", name, "-o", "jsonpath={.status.url}")
    if not url:
        raise ClusterFailed(f"the Knative Service {name} has no address yet; `kubectl describe ksvc {name}` says why.")
    return Service(name, urlsplit(url).netloc, scores)


def _until_gone(service: Service) -> None:
    label = f"serving.knative.dev/service={service.name}"
    if _kubectl("get", "pods", "-l", label, "-o", "name"):
        _kubectl("wait", "--for=delete", "pods", "-l", label, f"--timeout={_GONE_SECONDS}s")


def _connect(url: str) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    return http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=_ANSWER_SECONDS)


def _call(connection: http.client.HTTPConnection, service: Service) -> float:
    body = files("loadtest").joinpath("scenarios/flights.json").read_bytes() if service.scores else None
    began = time.perf_counter()
    try:
        headers = {"Host": service.host, "Content-Type": "application/json"}
        connection.request("POST" if service.scores else "GET", PATH if service.scores else "/", body, headers)
        answer = connection.getresponse()
        content = answer.read()
    except OSError as error:
        raise ClusterFailed(f"{service.name} does not answer at {connection.host}:{connection.port}: {error}.") from None
    if answer.status != http.client.OK:
        raise ClusterFailed(f"{service.name} answered {answer.status}: {content[:200].decode(errors='replace')}")
    return 1e3 * (time.perf_counter() - began)


def _kubectl(*arguments: str) -> str:
    if shutil.which("kubectl") is None:
        raise ClusterFailed("kubectl is not on the PATH; install it, and set KUBECONFIG to the cluster.")
    done = subprocess.run(["kubectl", *arguments], capture_output=True, text=True, check=False)  # noqa: S603, S607 the reader's own
    if done.returncode:
        raise ClusterFailed(f"kubectl {arguments[0]} {arguments[1]}: {' '.join(done.stderr.split())}")
    return done.stdout.strip()


def _table(found: dict[str, Measured]) -> str:
    first = next(iter(found.values()))
    lines = [
        "| | from zero: median, least, most (ms) | over the first | warm: median (ms) | more than the first |",
        "|---|---|---|---|---|",
    ]
    for name, measured in found.items():
        cold, warm = measured.from_zero, measured.warm
        zero = f"{median(cold):.0f}, {min(cold):.0f}, {max(cold):.0f}" if cold else ""
        ratio = f"{median(cold) / median(first.from_zero):.2f}" if cold else ""
        quick = f"{median(warm):.2f}" if warm else ""
        more = f"{median(warm) - median(first.warm):+.2f}" if warm else ""
        lines.append(f"| {name} | {zero} | {ratio} | {quick} | {more} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m loadtest.cluster", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("services", nargs="+", metavar="SERVICE", help="Knative Services; the first is what the others are compared with")
    parser.add_argument("--url", required=True, help="the cluster's ingress, such as http://127.0.0.1:31080")
    parser.add_argument("--plain", action="append", default=[], metavar="SERVICE", help="one of them that is no model: it is asked for /")
    parser.add_argument("--starts", type=int, default=4, help="of each, from zero (default: %(default)s)")
    parser.add_argument("--calls", type=int, default=500, help="of each, warm (default: %(default)s)")
    parser.add_argument("--i-own-this-target", action="store_true", help="allow a target that is not this machine")
    options = parser.parse_args(arguments)
    try:
        url = target.check(options.url, owned=options.i_own_this_target)
        target.reach(url)
        services = [service(name, scores=name not in options.plain) for name in options.services]
        print(_table(measure(url, services, starts=options.starts, calls=options.calls)))
    except TidegateError as error:
        print(f"loadtest: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("loadtest: interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
