"""A model function as a whole: settings, models, HTTP application and observers, assembled from the environment."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from functions.runtime.artifacts import loading
from functions.runtime.artifacts.loading import Loaded
from functions.runtime.artifacts.policy import Policy
from functions.runtime.http.app import App
from functions.runtime.inference.call import Capacity, RequestLimits
from functions.runtime.inference.registry import DataPlane
from functions.runtime.inference.served import PredictionLimits
from functions.runtime.observability.metrics import Metrics, Reading
from functions.runtime.observability.observers import Observers
from functions.runtime.observability.settings import ObservabilitySettings
from functions.runtime.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """The parts of one process. The models are loaded; the observers' threads run while `observers` is entered."""

    settings: Settings
    plane: DataPlane
    app: App
    observers: Observers


def assemble(environ: Mapping[str, str]) -> Function:
    """Load the models of TIDEGATE_MODEL and build the application around them.

    Raises InvalidSetting and InvalidModel.
    """
    metrics = Metrics()
    settings = Settings.from_env(environ)
    observing = ObservabilitySettings.from_env(environ)
    plane = _load(settings, Policy.from_env(environ), metrics)
    observers = Observers(observing, metrics)
    capacity = Capacity(_limits(settings))
    app = App(plane, capacity, observers)
    metrics.watch(Reading("tidegate_requests_in_flight", "Requests that are being answered.", lambda: capacity.in_flight))
    metrics.watch(Reading("tidegate_rows_waiting", "Rows that wait for a prediction, or are in one.", lambda: plane.waiting_rows))
    return Function(settings=settings, plane=plane, app=app, observers=observers)


def _load(settings: Settings, policy: Policy, metrics: Metrics) -> DataPlane:
    began = time.perf_counter()
    models = loading.load_all(settings.model, policy)
    limits = PredictionLimits(request_rows=settings.max_rows, waiting_rows=settings.max_waiting_rows)
    plane = DataPlane([(model, _reload(model, policy)) for model in models], metrics, limits, control=settings.model_control)
    metrics.started("load", time.perf_counter() - began)
    return plane


def _reload(model: Loaded, policy: Policy) -> Callable[[], Loaded]:
    return lambda: loading.load(model.source, policy)


def _limits(settings: Settings) -> RequestLimits:
    return RequestLimits(
        body_bytes=settings.max_body_bytes,
        json_bytes=settings.max_json_bytes,
        bodies_bytes=settings.max_waiting_bytes,
        requests=settings.max_waiting_requests,
        timeout_seconds=settings.timeout_seconds,
    )
