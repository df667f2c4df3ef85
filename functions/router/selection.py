"""The selection of arms for requests and events: by override, by routing key, and by the version in the path."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from functions.router.assignment import Assigned, assigner, choose, event_key
from functions.router.call import Call
from functions.router.versions import Versions
from functions.runtime.errors import NotAllowed
from functions.runtime.knative.traffic import Arm, RoutedModel

KEY = b"tidegate-routing-key"
OVERRIDE = b"tidegate-revision"
# The extension attribute of an event with the meaning of the header.
OVERRIDE_ATTRIBUTE = "tidegaterevision"


class ArmSelector:
    """Selects arms. Unless `allow_override`, requests and events that name a revision are refused.

    `counted` is whether the requests of each model are counted, even of one with a single arm.
    """

    def __init__(self, versions: Versions, *, allow_override: bool, counted: bool) -> None:
        self._versions = versions
        self._allow_override = allow_override
        self._counted = counted

    async def for_request(self, call: Call, model: RoutedModel, version: str | None) -> Assigned:
        """The arm of a whole request; one that serves the version, if the path names one.

        Raises UnknownModel, NotAllowed, and as `Versions.arm` does.
        """
        assigned = self.by_headers(call, model)
        arms = self.reachable(model)
        if version is None or OVERRIDE in call.headers or len(arms) == 1:
            return assigned
        arm = assigned.arm
        found = await self._versions.arm(model, version, [arm, *(other for other in arms if other is not arm)])
        # Even if it is the key's own arm: the split decides nothing between arms that do not serve the same versions.
        return Assigned(found, (None,) if assigned.items else ())

    async def candidates(self, model: RoutedModel, version: str | None) -> list[Arm] | None:
        """The arms that may get rows of a request; None, for all of them, unless its path names a version."""
        arms = self.reachable(model)
        return None if version is None or len(arms) == 1 else await self._versions.arms(model, version, arms)

    def reachable(self, model: RoutedModel) -> tuple[Arm, ...]:
        """The arms that requests can reach: those without a percentage only by an override."""
        return model.arms if self._allow_override else model.split

    def by_headers(self, call: Call, model: RoutedModel) -> Assigned:
        """The arm of an override or a key in the headers.

        Without either, a request that only reads gets the stable arm, any other one an arm at random by the
        percentages. Raises UnknownModel and NotAllowed.
        """
        override, key = self.override(call), call.headers.get(KEY)
        if override is None and key is None and call.method in ("GET", "HEAD"):
            return Assigned(model.stable)
        return choose(model, override, key, counted=self._counted)

    def for_event(self, model: RoutedModel, attributes: Mapping[str, Any]) -> Assigned:
        """The arm of an event, by its attributes. Raises UnknownModel and NotAllowed."""
        return self.for_events(model)(attributes)

    def for_events(self, model: RoutedModel) -> Callable[[Mapping[str, Any]], Assigned]:
        """The arm of each of many events, by its attributes; it raises UnknownModel and NotAllowed."""
        assign = assigner(model.split, model.salt)

        def assigned(attributes: Mapping[str, Any]) -> Assigned:
            override = attributes.get(OVERRIDE_ATTRIBUTE)
            return choose(model, self._checked(override), None) if override else assign(event_key(attributes))

        return assigned

    def at_random(self, model: RoutedModel) -> Assigned:
        """The arm of a request whose keys are not read, by the percentages."""
        return choose(model, None, None, counted=self._counted)

    def override(self, call: Call) -> str | None:
        """The revision or tag that a request names in its headers. Raises NotAllowed."""
        override = call.headers.get(OVERRIDE)
        return self._checked(override.decode("latin-1")) if override else None

    def _checked(self, override: str) -> str:
        if not self._allow_override:
            raise NotAllowed(
                f"naming a revision is switched off here, but the request names {override!r:.80}",
                remedy=f"leave out Tidegate-Revision and {OVERRIDE_ATTRIBUTE}",
            )
        return override
