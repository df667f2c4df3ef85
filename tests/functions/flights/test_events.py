"""The events of a departure: the label names the event that the model replies to."""

from __future__ import annotations

from dataclasses import replace

from eventing import label
from eventing.event import Event
from functions.flights.departures import Departure
from functions.flights.events import departed, labelled

LATE = Departure(id="2013-12-01-US-1895-EWR-0500", record={"carrier": "US", "flight": 1895, "tailnum": "N197UW"}, late=True)


def label_of(departure: Departure) -> label.Label:
    event = labelled(departure)
    assert event is not None
    # As a reader gets it, from JSON.
    return label.from_event(Event(event.attributes, event.payload()))


def test_label_is_about_the_prediction_for_the_departure() -> None:
    event, found = departed(LATE), label_of(LATE)
    assert found.model == "flights"
    assert found.request == (event.source, event.id)


def test_late_flight_has_the_label_one_and_another_one_zero() -> None:
    assert label_of(LATE).value == 1.0
    assert label_of(replace(LATE, late=False)).value == 0.0


def test_flight_with_an_unknown_arrival_has_no_label() -> None:
    assert labelled(replace(LATE, late=None)) is None


def test_event_has_the_aircraft_as_its_key_and_not_the_outcome() -> None:
    event = departed(LATE)
    assert event.get("partitionkey") == "N197UW"
    assert event.value() == LATE.record
