"""The route table of the function. The paths of models are written out, so that a lookup is one dictionary access."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from functions.runtime.errors import UnknownModel
from functions.runtime.http.asgi import Answer
from functions.runtime.http.call import HTTPCall
from functions.runtime.http.inference import explain_v1, infer_events, infer_v2, predict_v1
from functions.runtime.http.information import Handler, Information
from functions.runtime.http.lazy import Exposition
from functions.runtime.inference.registry import DataPlane, ModelEntry
from functions.runtime.observability.metrics import Metrics

Infer = Callable[[HTTPCall], Awaitable[Answer]]

V2 = "/v2/models/{model}"
V2_VERSION = V2 + "/versions/{version}"
V1 = "/v1/models/{model}"
EVENTS = "/models/{model}"
# The model and the version in a path.
_NAMED = re.compile(
    r"/v1/models/(?P<v1>[^/]+?)(?::predict|:explain)?"
    r"|(?:/v2|/v2/repository)?/models/(?P<name>[^/]+)(?:/versions/(?P<version>[^/]+))?(?:/[a-z]+)?"
)


@dataclass(frozen=True, slots=True)
class Route:
    """One path: POST calls `infer` for the model of `entry()`, other methods call their handler."""

    pattern: str
    entry: Callable[[], ModelEntry]
    protocol: str = ""
    infer: Infer | None = None
    handlers: Mapping[str, Handler] = field(default_factory=dict)

    @property
    def is_event(self) -> bool:
        return self.protocol == "cloudevents"

    @property
    def allow(self) -> str:
        """The value of the Allow header."""
        methods = (["POST"] if self.infer else []) + list(self.handlers)
        return ", ".join(methods + (["HEAD"] if "GET" in self.handlers else []))


class Routes:
    """The routes of all served models and of the function itself."""

    def __init__(self, plane: DataPlane, metrics: Metrics) -> None:
        self._plane = plane
        self._information = Information(plane, metrics)
        self._exposition = Exposition(metrics)
        self.table: dict[str, Route] = dict(self._of_function())
        for name in plane.names:
            self.table |= self._of_name(name, plane.versions(name))

    def find(self, path: str) -> Route | None:
        """Find the route of a path, or None.

        The path of an unknown model has a route too, which raises UnknownModel.
        """
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
        handlers: dict[str, tuple[str, Handler]] = {
            "/v2": ("GET", self._information.server),
            "/v2/health/live": ("GET", self._information.live),
            "/v2/health/ready": ("GET", self._information.ready),
            "/v2/models": ("GET", self._information.models),
            "/v1/models": ("GET", self._information.models),
            "/v2/repository/index": ("POST", self._information.index),
            "/v2/models/stats": ("GET", self._information.statistics),
            "/metrics": ("GET", self._exposition),
        }
        routes = {path: Route(path, self._only, handlers={method: handler}) for path, (method, handler) in handlers.items()}
        return routes | {"/": Route("/", self._only, "cloudevents", infer_events, {"GET": self._information.alive})}

    def _only(self) -> ModelEntry:
        try:
            return self._plane.only()
        except UnknownModel as error:
            raise UnknownModel(error.message, remedy="send the event to /models/ and one of these names") from None

    def _of_name(self, name: str, versions: Sequence[str]) -> dict[str, Route]:
        information = self._information
        entry = partial(self._plane.entry, name)
        repository = "/v2/repository/models/{model}"
        routes = {
            V1 + ":predict": Route(V1 + ":predict", entry, "v1", predict_v1),
            V1 + ":explain": Route(V1 + ":explain", entry, "v1", explain_v1),
            V1: Route(V1, entry, handlers={"GET": information.ready_of(entry)}),
            EVENTS: Route(EVENTS, entry, "cloudevents", infer_events),
            repository + "/load": Route(repository + "/load", entry, handlers={"POST": information.load(name)}),
            repository + "/unload": Route(repository + "/unload", entry, handlers={"POST": information.unload(name)}),
        }
        table = {pattern.format(model=name): route for pattern, route in routes.items()} | self._of_model(V2, entry, name)
        for version in versions:
            table |= self._of_model(V2_VERSION, partial(self._plane.entry, name, version), name, version)
        return table

    def _of_model(self, pattern: str, entry: Callable[[], ModelEntry], name: str, version: str = "") -> dict[str, Route]:
        path = pattern.format(model=name, version=version)
        information = self._information
        return {
            path: Route(pattern, entry, handlers={"GET": information.metadata(entry)}),
            path + "/ready": Route(pattern + "/ready", entry, handlers={"GET": information.ready_of(entry)}),
            path + "/infer": Route(pattern + "/infer", entry, "v2", infer_v2),
            path + "/config": Route(pattern + "/config", entry, handlers={"GET": information.config_of(entry)}),
            path + "/stats": Route(pattern + "/stats", entry, handlers={"GET": information.statistics_of(entry, name, version or None)}),
        }
