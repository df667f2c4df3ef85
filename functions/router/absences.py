"""Revisions that cannot be reached, and since when. No I/O, and no clock."""

from __future__ import annotations

from collections.abc import Container

from functions.runtime.knative.traffic import RoutedModel


class Absences:
    """The revisions that no request has reached lately.

    A revision is reached late after a change of the traffic, since the ingress has yet to learn its host, and when its
    container is started again. Neither says that it is a bad one, so that an absence counts only after `seconds`: for as
    long, a request without a substitute would be retried. `since` has the times by model and revision.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.since: dict[tuple[str, str], float] = {}

    def missed(self, model: RoutedModel, revision: str, now: float, models: Container[str]) -> bool:
        """Record that a revision cannot be reached; returns whether that counts.

        `models` are the names of those that are not deleted: the others, and former revisions, are forgotten.
        """
        current = {arm.revision for arm in model.arms}
        for key in [(name, arm) for name, arm in self.since if name not in models or (name == model.name and arm not in current)]:
            del self.since[key]
        return now - self.since.setdefault((model.name, revision), now) >= self._seconds

    def reached(self, model: str, revision: str) -> None:
        """Record a reply of a revision."""
        self.since.pop((model, revision), None)
