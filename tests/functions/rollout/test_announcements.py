from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from eventing.codecs.http import Mode, decode, encode
from eventing.types import ROLLOUT_ADVANCED, ROLLOUT_ROLLED_BACK
from functions.rollout import announcements
from functions.rollout.announcements import ANNOUNCEMENTS, MOST_ANNOUNCEMENTS, Announcement
from tests.functions.rollout.services import service, with_rollout
from tidegate.local.apiserver.patch import merge

TEXT = st.text(max_size=80).filter(lambda text: text.isprintable())
NUMBER = st.floats(0, 4e9, allow_nan=False)
ANNOUNCEMENT = st.builds(
    Announcement,
    id=TEXT.filter(bool),
    type=st.sampled_from([ROLLOUT_ADVANCED, ROLLOUT_ROLLED_BACK]),
    at=NUMBER,
    data=st.fixed_dictionaries({"model": st.just("flights"), "sentence": TEXT, "eValue": NUMBER}),
)


@given(st.lists(ANNOUNCEMENT, max_size=MOST_ANNOUNCEMENTS))
def test_annotation_keeps_announcements(found: list[Announcement]) -> None:
    item = merge(service(), {"metadata": {"annotations": announcements.annotation(found)}})
    assert list(announcements.waiting(item)) == found
    delivered = {one.id for one in found[:2]}
    rest = merge(item, {"metadata": {"annotations": announcements.without(item, delivered)}})
    assert list(announcements.waiting(rest)) == [one for one in found if one.id not in delivered]
    assert (ANNOUNCEMENTS in rest["metadata"]["annotations"]) == bool(announcements.waiting(rest))


def test_oldest_announcements_are_given_up() -> None:
    many = [Announcement(str(number), ROLLOUT_ADVANCED, 1.0, {"model": "m", "sentence": "s"}) for number in range(40)]
    item = merge(service(), {"metadata": {"annotations": announcements.added(service(), many)}})
    assert [one.id for one in announcements.waiting(item)] == [str(number) for number in range(40 - MOST_ANNOUNCEMENTS, 40)]


READABLE = {"id": "a", "type": ROLLOUT_ADVANCED, "at": 1, "data": {"model": "m", "sentence": "s"}}
CHANGES: list[dict[str, Any]] = [{"id": ""}, {"at": 1e300}, {"at": "x"}, {"type": "b"}, {"type": []}, {"data": ["model", "sentence"]}]
UNREADABLE = [{**READABLE, **change} for change in CHANGES]


@given(
    st.text(max_size=60)
    | st.sampled_from([*(json.dumps([item]) for item in UNREADABLE), "[1]", '{"a": 1}', "1", "[]" * 40_000, "[" * 256 * 1024])
)
def test_text_of_another_writer_is_no_announcement(text: str) -> None:
    item = service(annotations={ANNOUNCEMENTS: text})
    assert announcements.waiting(item) == ()


@given(ANNOUNCEMENT)
def test_event_has_the_same_identity_in_each_attempt(found: Announcement) -> None:
    first, second = (announcements.to_event(found, "models") for _ in range(2))
    assert (first.source, first.id, first.type) == ("/tidegate/rollouts/models/flights", found.id, found.type)
    assert first == second
    (received,) = decode(encode([first], Mode.BINARY), Mode.BINARY)
    assert received.value() == dict(found.data)


def test_event_of_kubernetes_is_about_the_service_and_bounded() -> None:
    data: dict[str, Any] = {"model": "flights", "sentence": "ä" * 2_000}
    found = Announcement("r/rolled-back", ROLLOUT_ROLLED_BACK, 1_700_000_000.5, data)
    event, again = (announcements.to_kubernetes(found, with_rollout()) for _ in range(2))
    assert event == again
    assert event["involvedObject"]["uid"] == "1-2-3"
    assert (event["reason"], event["type"]) == ("RolloutRolledBack", "Warning")
    assert len(event["message"].encode()) == 1_024
    other = announcements.to_kubernetes(Announcement("r/advance", ROLLOUT_ADVANCED, 1.0, data), with_rollout())
    assert other["metadata"]["name"] != event["metadata"]["name"]
