"""The interface between the controller, which decides, and the runners, which move events and start processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeVar

from tidegate.local.objects.eventing import DeliverySpec
from tidegate.local.objects.resources import Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A condition of an object's status, by the type and the reasons of Knative's controllers."""

    type: str
    status: Literal["True", "False", "Unknown"] = "True"
    reason: str = ""
    message: str = ""


Report = Callable[[str, str, Condition], None]
"""Report a condition of the object with this namespace and name. Call it in the event loop's thread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """The URLs of an object's destinations: None where it names none, or where the destination has no address now.

    `subscriber` receives the events of a Trigger, `sink` those of a source. `delivery` applies to both: a Trigger's own
    replaces its Broker's as a whole, and so does its dead letter sink. `urls` has all of them by their paths, such as
    `spec.steps[0]`.
    """

    subscriber: str | None = None
    sink: str | None = None
    dead_letter: str | None = None
    delivery: DeliverySpec | None = None
    urls: Mapping[str, str] = field(default_factory=dict)


T = TypeVar("T", bound=Manifest, contravariant=True)


class Runner(Protocol[T]):
    """Runs the objects of one kind. Its methods must not block: they are called in the event loop."""

    def apply(self, item: T, context: Resolved) -> None:
        """Run a new or changed object, or one whose addresses have changed. Called again, it changes nothing."""

    def delete(self, namespace: str, name: str) -> None:
        """Stop to run an object that has been deleted. An unknown one is ignored."""

    async def close(self) -> None:
        """Finish what is in flight, and stop."""
