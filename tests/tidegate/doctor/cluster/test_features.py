from __future__ import annotations

from typing import Any

import pytest

from tidegate.doctor.cluster import features
from tidegate.doctor.finding import Level

Object = dict[str, Any]


def _data(**data: str) -> Object:
    return {"data": data}


@pytest.mark.parametrize(
    ("config", "level"),
    [
        (_data(_example="request-metrics-protocol: http/protobuf"), Level.WARNING),
        (_data(**{"request-metrics-protocol": "prometheus"}), Level.OK),
        (_data(**{"request-metrics-protocol": "grpc"}), Level.WARNING),
        (_data(_example="metrics.request-metrics-backend-destination: prometheus"), Level.OK),
        ({"data": {"metrics.request-metrics-backend-destination": "opencensus"}}, Level.WARNING),
    ],
    ids=["1.19 as installed", "1.19 for Prometheus", "1.19 for a collector", "1.18 as installed", "1.18 for a collector"],
)
def test_queue_proxy_metrics_need_a_setting_of_serving(config: Object, level: Level) -> None:
    found = features.request_metrics(config)
    assert found.level is level
    assert bool(found.remedy) is (level is Level.WARNING)


def test_event_policy_needs_oidc() -> None:
    found = features.event_policies({"data": {}})
    assert (found.level, '"authentication-oidc":"enabled"' in found.remedy) == (Level.ERROR, True)
    assert features.event_policies({"data": {"authentication-oidc": "enabled"}}).level is Level.OK
