"""Settings of the rollout function, from environment variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from common.environ import integer, number, url
from functions.runtime.settings import Settings as FunctionSettings


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one process. Defaults that it shares with a model function are read from there."""

    port: int = FunctionSettings.port
    """PORT: Knative sets it; 8080 is its default."""

    host: str = FunctionSettings.host
    """TIDEGATE_HOST: the address to listen on."""

    sink: str | None = None
    """K_SINK: the URL that decisions are posted to as events, as a SinkBinding sets it. None are posted without it."""

    gather_seconds: float = 2.0
    """TIDEGATE_GATHER_SECONDS between two writes of a Knative Service: outcomes and labels that arrive meanwhile share one.

    Knative copies annotations to the Service's Configuration, Route and ingress, so that a write costs four.
    """

    max_waiting_outcomes: int = 1024
    """TIDEGATE_MAX_WAITING_OUTCOMES and labels of all models together; beyond it, 429, after which a Broker tries again."""

    drain_seconds: float = FunctionSettings.drain_seconds
    """TIDEGATE_DRAIN_SECONDS for requests in flight after SIGTERM; Knative grants timeoutSeconds."""

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Raises InvalidSetting, naming the variable."""
        return cls(
            port=integer(environ, "PORT", cls.port, most=65_535),
            host=environ.get("TIDEGATE_HOST") or cls.host,
            sink=url(environ, "K_SINK"),
            gather_seconds=number(environ, "TIDEGATE_GATHER_SECONDS", cls.gather_seconds, most=60),
            max_waiting_outcomes=integer(environ, "TIDEGATE_MAX_WAITING_OUTCOMES", cls.max_waiting_outcomes, least=1),
            drain_seconds=number(environ, "TIDEGATE_DRAIN_SECONDS", cls.drain_seconds),
        )
