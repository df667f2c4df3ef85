"""The events of a departure: that it has happened, as an airline publishes it, and what became of it."""

from __future__ import annotations

from eventing.event import Event
from eventing.label import Label, Request
from functions.flights.departures import Departure

MODEL = "flights"
DEPARTED = "com.example.flight.departed"


def departed(departure: Departure) -> Event:
    """The event that the model replies to.

    Its key is the aircraft, whose events so keep their order and version.
    """
    return Event(
        {
            "specversion": "1.0",
            "id": departure.id,
            "source": _source(departure),
            "type": DEPARTED,
            "subject": f"{departure.record['carrier']}{departure.record['flight']}",
            "partitionkey": departure.record["tailnum"],
            "datacontenttype": "application/json",
        },
        departure.record,
    )


def labelled(departure: Departure) -> Event | None:
    """Whether the flight has arrived late, as the label of the prediction for it; None if that is not known."""
    if departure.late is None:
        return None
    label = Label(model=MODEL, value=departure.late, request=Request(_source(departure), departure.id))
    return label.to_event(source=_source(departure))


def _source(departure: Departure) -> str:
    return f"/airlines/{departure.record['carrier']}"
