"""Settings of the rollout function, by environment variables."""

from __future__ import annotations

from dataclasses import dataclass

from common.environ import Environ, integer, number, url


@dataclass(frozen=True, kw_only=True)
class RolloutSettings:
    """All settings have defaults. The Kubernetes API is found as by the router."""

    host: str = "0.0.0.0"  # noqa: S104 Knative connects from outside
    """TIDEGATE_HOST: the address to listen on."""

    port: int = 8080
    """PORT to listen on, as Knative sets it; 0 takes a free one."""

    sink: str | None = None
    """K_SINK: the URL that decisions are posted to, as a SinkBinding sets it. None are posted without it."""

    drain_seconds: float = 25.0
    """TIDEGATE_DRAIN_SECONDS for requests in flight after SIGTERM; Knative grants timeoutSeconds."""

    @classmethod
    def from_env(cls, environ: Environ) -> RolloutSettings:
        """The settings in the environment. Raises InvalidSetting."""
        return cls(
            host=environ.get("TIDEGATE_HOST") or cls.host,
            port=integer(environ, "PORT", cls.port, most=65_535),
            sink=url(environ, "K_SINK"),
            drain_seconds=number(environ, "TIDEGATE_DRAIN_SECONDS", cls.drain_seconds),
        )
