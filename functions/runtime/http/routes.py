"""The paths of the function, written out for each model that it serves: a request finds its route by one look into a table."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from functions.runtime.http.asgi import Answer, Receive, Scope
from functions.runtime.http.call import Call
from functions.runtime.http.inference import explain_v1, infer_events, infer_v2, predict_v1
from functions.runtime.http.information import Information
from functions.runtime.http.lazy import Exposition
from functions.runtime.inference.dataplane import DataPlane, Slot

Infer = Callable[[Call], Awaitable[Answer]]
Tell = Callable[[Scope, Receive], Awaitable[Answer]]

V2 = "/v2/models/{model}"
V2_VERSION = V2 + "/versions/{version}"
V1 = "/v1/models/{model}"
EVENTS = "/models/{model}"
# The model, and the version, that a path may name.
_NAMED = re.compile(
    r"/v1/models/(?P<v1>[^/]+?)(?::predict|:explain)?"
    r"|(?:/v2|/v2/repository)?/models/(?P<name>[^/]+)(?:/versions/(?P<version>[^/]+))?(?:/[a-z]+)?"
)


@dataclass(frozen=True, slots=True)
class Route:
    """One path: POST predicts with `infer` for the model of `slot()`, other methods tell something."""

    pattern: str
    slot: Callable[[], Slot]
    protocol: str = ""
    infer: Infer | None = None
    tell: Mapping[str, Tell] = field(default_factory=dict)

    @property
    def is_event(self) -> bool:
        return self.protocol == "cloudevents"

    @property
    def allow(self) -> str:
        methods = (["POST"] if self.infer else []) + list(self.tell)
        return ", ".join(methods + (["HEAD"] if "GET" in self.tell else []))


class Routes:
    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane
        self._information = Information(plane)
        self._exposition = Exposition(plane.metrics)
        self.table: dict[str, Route] = dict(self._of_function())
        for name in plane.names:
            self.table |= self._of_name(name, plane.versions(name))

    def find(self, path: str) -> Route | None:
        """None for a path that is none of the function's; one of an unknown model is, and its route says so."""
        found = self.table.get(path)
        if found is None and path.endswith("/"):
            path = path[:-1]
            found = self.table.get(path)
        if found is not None:
            return found
        match = _NAMED.fullmatch(path)
        if match is None:
            return None
        version = match["version"]
        return self._of_name(match["v1"] or match["name"], [version] if version else []).get(path)

    def _of_function(self) -> dict[str, Route]:
        tells: dict[str, tuple[str, Tell]] = {
            "/v2": ("GET", self._information.server),
            "/v2/health/live": ("GET", self._information.live),
            "/v2/health/ready": ("GET", self._information.ready),
            "/v2/models": ("GET", self._information.models),
            "/v1/models": ("GET", self._information.models),
            "/v2/repository/index": ("POST", self._information.index),
            "/v2/models/stats": ("GET", self._information.statistics),
            "/metrics": ("GET", self._exposition),
        }
        routes = {path: Route(path, self._plane.only, tell={method: tell}) for path, (method, tell) in tells.items()}
        return routes | {"/": Route("/", self._plane.only, "cloudevents", infer_events, {"GET": self._information.alive})}

    def _of_name(self, name: str, versions: Sequence[str]) -> dict[str, Route]:
        information = self._information
        slot = partial(self._plane.slot, name)
        repository = "/v2/repository/models/{model}"
        routes = {
            V1 + ":predict": Route(V1 + ":predict", slot, "v1", predict_v1),
            V1 + ":explain": Route(V1 + ":explain", slot, "v1", explain_v1),
            V1: Route(V1, slot, tell={"GET": information.ready_of(slot)}),
            EVENTS: Route(EVENTS, slot, "cloudevents", infer_events),
            repository + "/load": Route(repository + "/load", slot, tell={"POST": information.load(name)}),
            repository + "/unload": Route(repository + "/unload", slot, tell={"POST": information.unload(name)}),
        }
        table = {pattern.format(model=name): route for pattern, route in routes.items()} | self._of_model(V2, slot, name)
        for version in versions:
            table |= self._of_model(V2_VERSION, partial(self._plane.slot, name, version), name, version)
        return table

    def _of_model(self, pattern: str, slot: Callable[[], Slot], name: str, version: str = "") -> dict[str, Route]:
        path = pattern.format(model=name, version=version)
        information = self._information
        return {
            path: Route(pattern, slot, tell={"GET": information.metadata(slot)}),
            path + "/ready": Route(pattern + "/ready", slot, tell={"GET": information.ready_of(slot)}),
            path + "/infer": Route(pattern + "/infer", slot, "v2", infer_v2),
            path + "/config": Route(pattern + "/config", slot, tell={"GET": information.config_of(slot)}),
            path + "/stats": Route(pattern + "/stats", slot, tell={"GET": information.statistics_of(slot, name, version or None)}),
        }
