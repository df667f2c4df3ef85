from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest

from functions.router.call import Call, RouterLimits
from functions.router.dispatch import Dispatcher
from functions.router.selection import ArmSelector
from functions.router.versions import Versions
from functions.runtime.errors import NotAllowed, UnknownModel
from functions.runtime.inference.budget import Budget
from functions.runtime.knative.traffic import Arm, RoutedModel

STABLE = Arm(revision="m-1", tags=("stable",), percent=50, url="http://stable-m")
CANARY = Arm(revision="m-2", tags=("canary",), percent=50, url="http://canary-m")
OLD = Arm(revision="m-0", tags=("old",), percent=0, url="http://old-m")
MODEL = RoutedModel(name="m", arms=(OLD, STABLE, CANARY), stable=STABLE, canaries=(CANARY,), salt=b"m/")
EVENT = {"source": "/s", "id": "1", "subject": "N1"}


def selector(*, allow_override: bool = True) -> ArmSelector:
    return ArmSelector(Versions(cast("Dispatcher", None), 1), allow_override=allow_override, counted=True)


def call(method: str = "POST", **headers: str) -> Call:
    async def receive() -> Any:
        raise NotImplementedError

    limits = RouterLimits(body_bytes=1, json_bytes=1, bodies_bytes=1, requests=1)
    sent = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return Call({"method": method}, receive, limits, Budget(1), ThreadPoolExecutor(1), sent)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_request_that_only_reads_gets_the_stable_arm(method: str) -> None:
    assert {selector().by_headers(call(method), MODEL).arm for _ in range(50)} == {STABLE}


def test_a_request_without_a_key_gets_an_arm_at_random() -> None:
    assert {selector().by_headers(call(), MODEL).arm for _ in range(200)} == {STABLE, CANARY}


def test_the_key_of_a_header_and_of_an_event_select_the_same_arm() -> None:
    for key in map(str, range(20)):
        assigned = selector().by_headers(call(tidegate_routing_key=key), MODEL)
        assert selector().for_event(MODEL, EVENT | {"routingkey": key}) == assigned


def test_an_override_selects_an_arm_without_a_percentage() -> None:
    assert selector().by_headers(call(tidegate_revision="old"), MODEL).arm is OLD
    assert selector().for_event(MODEL, EVENT | {"tidegaterevision": "m-0"}).arm is OLD
    with pytest.raises(UnknownModel, match="no revision or tag v9"):
        selector().for_event(MODEL, EVENT | {"tidegaterevision": "v9"})


def test_an_override_that_is_switched_off_is_refused() -> None:
    strict = selector(allow_override=False)
    with pytest.raises(NotAllowed, match="switched off here, but the request names 'old'; leave out Tidegate-Revision"):
        strict.by_headers(call(tidegate_revision="old"), MODEL)
    with pytest.raises(NotAllowed, match="the request names 'm-0'"):
        strict.for_event(MODEL, EVENT | {"tidegaterevision": "m-0"})


def test_arms_without_a_percentage_are_reachable_by_an_override_only() -> None:
    assert selector().reachable(MODEL) == (OLD, STABLE, CANARY)
    assert selector(allow_override=False).reachable(MODEL) == (STABLE, CANARY)
