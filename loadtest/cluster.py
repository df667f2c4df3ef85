"""Latencies of functions on a cluster, side by side: from zero, and warm.

`python -m loadtest.cluster --url http://127.0.0.1:31080 flights router trivial` calls Knative Services in turns, so
that other load on the cluster affects all of them alike. kubectl gives their hosts and the end of their last pods.

The kubelet polls its containers once a second, so that the duration of a start varies by up to a second with the moment
at which it begins. Starts at a fixed distance would always begin at the same moment. Therefore the order is shuffled in
each round and each start waits a random time: the figures show fast and slow starts in the proportion in which callers
observe them.
"""

from __future__ import annotations

import argparse
import http.client
import random
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from importlib.resources import files
from itertools import pairwise
from statistics import median, quantiles
from urllib.parse import urlsplit

from common.errors import TidegateError
from loadtest import target

PATH = "/v2/models/flights/infer"
# A pod may take the whole grace period of its revision to end, and a start as long as the cluster allows.
_GONE_SECONDS = 600
_ANSWER_SECONDS = 120.0
# Starts that differ by less belong together. The poll of the kubelet causes gaps several times as wide.
_GAP_MS = 150.0
_Waits = Callable[[float], None]


class ClusterFailed(TidegateError):
    """kubectl is missing or refuses, or a service does not answer."""


@dataclass(frozen=True, slots=True)
class Service:
    """A Knative Service, and the host of its calls.

    Only a model function `scores`; any other service is called at `/`.
    """

    name: str
    host: str
    scores: bool


@dataclass(slots=True)
class Timings:
    """Milliseconds from request to response."""

    from_zero: list[float]
    warm: list[float]


@dataclass(frozen=True, slots=True)
class Order:
    """The random order of starts, with pauses of up to `pause` seconds; equal for equal seeds."""

    seed: int
    pause: float
    wait: _Waits = time.sleep


def measure(url: str, services: Sequence[Service], order: Order, *, starts: int, calls: int) -> dict[str, Timings]:
    """Call each service `starts` times from zero, then `calls` times warm on one connection. Raises ClusterFailed."""
    found = {service.name: Timings([], []) for service in services}
    chance = random.Random(order.seed)  # noqa: S311 no secret
    for number in range(1, starts + 1):
        for service in chance.sample(services, len(services)):
            _until_gone(services)  # all: a start of the router may need that of a function
            order.wait(chance.uniform(0, order.pause))
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
    """Return a Knative Service. Raises ClusterFailed when it does not exist or has no address yet."""
    url = _kubectl("get", "ksvc", name, "-o", "jsonpath={.status.url}")
    if not url:
        raise ClusterFailed(f"the Knative Service {name} has no address yet", remedy=f"see `kubectl describe ksvc {name}`")
    return Service(name, urlsplit(url).netloc, scores)


def _until_gone(services: Sequence[Service]) -> None:
    label = f"serving.knative.dev/service in ({','.join(service.name for service in services)})"
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
        raise ClusterFailed("kubectl is not on the PATH", remedy="install it, and set KUBECONFIG to the cluster")
    done = subprocess.run(["kubectl", *arguments], capture_output=True, text=True, check=False)  # noqa: S603, S607 the user's own
    if done.returncode:
        raise ClusterFailed(f"kubectl {arguments[0]} {arguments[1]}: {' '.join(done.stderr.split())}")
    return done.stdout.strip()


def modes(milliseconds: Sequence[float]) -> list[list[float]]:
    """Return the times in order as one group, or as two divided at the widest gap if that is wide enough."""
    times = sorted(milliseconds)
    gap, place = max(((after - before, index) for index, (before, after) in enumerate(pairwise(times), 1)), default=(0.0, 0))
    # A single distant time is an outlier.
    return [times[:place], times[place:]] if gap >= _GAP_MS and 1 < place < len(times) - 1 else [times]


def _table(found: dict[str, Timings]) -> str:
    first = next(iter(found.values()))
    lines = [
        "| | from zero: p10, median, p90, max (ms) | groups: starts at median (ms) | ratio to the first "
        "| warm: median (ms) | difference to the first |",
        "|---|---|---|---|---|---|",
    ]
    for name, measured in found.items():
        cold, warm = measured.from_zero, measured.warm
        ratio = f"{median(cold) / median(first.from_zero):.2f}" if cold else ""
        quick = f"{median(warm):.2f}" if warm else ""
        more = f"{median(warm) - median(first.warm):+.2f}" if warm else ""
        lines.append(f"| {name} | {_quantiles(cold)} | {_modes(cold)} | {ratio} | {quick} | {more} |")
    return "\n".join(lines)


def _quantiles(times: Sequence[float]) -> str:
    if not times:
        return ""
    tenths = quantiles(times, n=10, method="inclusive") if len(times) > 1 else [times[0]] * 9
    return f"{tenths[0]:.0f}, {median(times):.0f}, {tenths[-1]:.0f}, {max(times):.0f}"


def _modes(times: Sequence[float]) -> str:
    return "; ".join(f"{len(mode)} at {median(mode):.0f}" for mode in modes(times)) if times else ""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m loadtest.cluster", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("services", nargs="+", metavar="SERVICE", help="Knative Services; the others are compared with the first")
    parser.add_argument("--url", required=True, help="the cluster's ingress, such as http://127.0.0.1:31080")
    parser.add_argument(
        "--plain", action="append", default=[], metavar="SERVICE", help="one of them that is not a model function: it is called at /"
    )
    parser.add_argument("--starts", type=int, default=10, help="starts of each from zero (default: %(default)s)")
    parser.add_argument("--pause", type=float, default=3.0, help="greatest random pause between starts, in seconds (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="seed of order and pauses (default: random, printed)")
    parser.add_argument("--calls", type=int, default=500, help="warm calls of each (default: %(default)s)")
    parser.add_argument("--i-own-this-target", action="store_true", help="allow a target that is not this machine")
    options = parser.parse_args(arguments)
    try:
        url = target.check(options.url, owned=options.i_own_this_target)
        target.reach(url)
        services = [service(name, scores=name not in options.plain) for name in options.services]
        order = Order(secrets.randbelow(1_000_000) if options.seed is None else options.seed, options.pause)
        print(f"  order and pauses: --seed {order.seed}", file=sys.stderr)
        print(_table(measure(url, services, order, starts=options.starts, calls=options.calls)))
    except TidegateError as error:
        print(f"loadtest: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("loadtest: interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
