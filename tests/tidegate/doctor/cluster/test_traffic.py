from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tidegate.doctor.cluster import traffic
from tidegate.doctor.finding import Level
from tidegate.documents import Document

Object = dict[str, Any]
Service = Callable[..., Document]
SPLIT = [{"revisionName": "flights-a", "percent": 90}, {"revisionName": "flights-b", "percent": 10}]


def _revision(name: str, ready: str = "True") -> Object:
    return {"metadata": {"name": name}, "status": {"conditions": [{"type": "Ready", "status": ready}]}}


def test_traffic_to_existing_and_new_revisions_is_ok(service: Service) -> None:
    (found,) = traffic.judge(service(traffic=SPLIT, revision="flights-b"), [_revision("flights-a")])
    assert found.level is Level.OK


def test_unknown_revision_in_traffic_names_the_known_ones(service: Service) -> None:
    (found,) = traffic.judge(service(traffic=SPLIT, revision="flights-b"), [_revision("flights-00001")])
    assert found.level is Level.ERROR
    assert "no revision flights-a: the service has flights-00001, flights-b" in found.message
    assert "spec.traffic of flights.yaml" in found.remedy


def test_traffic_of_a_new_service_is_an_error(service: Service) -> None:
    first, second = traffic.judge(service(traffic=SPLIT), [])
    assert {first.level, second.level} == {Level.ERROR}
    assert "the service has none yet" in first.message


def test_traffic_to_an_unready_revision_is_a_note(service: Service) -> None:
    note, _ = traffic.judge(service(traffic=SPLIT, revision="flights-b"), [_revision("flights-a", "False")])
    assert note.level is Level.NOTE
