from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tidegate.local.controller.routes import Route, table


def service(*traffic: dict[str, Any], namespace: str = "default") -> dict[str, Any]:
    return {"metadata": {"name": "flights", "namespace": namespace}, "status": {"traffic": list(traffic)}}


CANARY = service(
    {"revisionName": "flights-00001", "percent": 90, "tag": "v1"},
    {"revisionName": "flights-00002", "percent": 10, "tag": "v2"},
    {"revisionName": "flights-00003", "tag": "dark"},
)


def test_service_is_found_by_its_hosts_with_and_without_a_port() -> None:
    hosts = table([CANARY])
    for host in ("flights.localhost", "Flights.localhost:8080", "flights.default", "flights.default.svc.cluster.local:80"):
        route = hosts.find(host)
        assert route
        assert route.shares == (("flights-00001", 90), ("flights-00002", 10))


def test_tag_has_its_own_host() -> None:
    route = table([CANARY]).find("dark-flights.localhost:8080")
    assert route
    assert route.choose() == "flights-00003"


def test_unknown_host_and_service_without_traffic_have_no_route() -> None:
    assert table([CANARY]).find("other.localhost") is None
    assert table([service()]).find("flights.localhost") is None


@given(st.lists(st.integers(1, 100), min_size=1, max_size=5))
def test_each_revision_gets_its_percentage(weights: list[int]) -> None:
    total = sum(weights)
    shares = [weight * 100 // total for weight in weights]
    shares[0] += 100 - sum(shares)
    route = Route("s", tuple((f"r{index}", share) for index, share in enumerate(shares) if share))
    drawn = Counter(route.choose(lambda point=point: (point + 0.5) / 100) for point in range(100))  # type: ignore[misc]
    assert drawn == {f"r{index}": share for index, share in enumerate(shares) if share}
