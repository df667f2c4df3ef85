"""What the router can be told, by environment variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from eventing.environ import number, one_of, whole
from functions.runtime.http import cors
from functions.runtime.settings import LOG_LEVELS
from functions.runtime.settings import Settings as FunctionSettings


# Without slots, so that a field's default can be read from the class.
@dataclass(frozen=True)
class Settings:
    # PORT: Knative tells it; 8080 is what it tells by default.
    port: int = 8080
    # TIDEGATE_HOST: the address to listen on. A container is reached from outside; on a laptop only loopback should be.
    host: str = "0.0.0.0"  # noqa: S104
    # TIDEGATE_LOG_LEVEL
    log_level: str = "info"
    # TIDEGATE_MAX_BODY_BYTES: a body is held in memory, so that it can be split. As much as a model function takes.
    max_body_bytes: int = FunctionSettings.max_body_bytes
    # TIDEGATE_REQUEST_SECONDS: how long a revision may take, its start from zero included. Knative's own limit when a Service names none.
    request_seconds: float = 300.0
    # TIDEGATE_FIRST_VIEW_SECONDS: how long a request waits for the first list of models, which takes milliseconds.
    first_view_seconds: float = 10.0
    # TIDEGATE_DRAIN_SECONDS: how long requests in flight may take after SIGTERM; Knative grants timeoutSeconds.
    drain_seconds: float = 25.0
    # TIDEGATE_CORS_ORIGINS, as the model function has it.
    cors_origins: tuple[str, ...] = ()

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Raises InvalidSetting, naming the variable."""
        return cls(
            whole(environ, "PORT", cls.port, most=65_535),
            environ.get("TIDEGATE_HOST") or cls.host,
            one_of(environ, "TIDEGATE_LOG_LEVEL", cls.log_level, LOG_LEVELS),
            whole(environ, "TIDEGATE_MAX_BODY_BYTES", cls.max_body_bytes, least=1),
            number(environ, "TIDEGATE_REQUEST_SECONDS", cls.request_seconds),
            number(environ, "TIDEGATE_FIRST_VIEW_SECONDS", cls.first_view_seconds),
            number(environ, "TIDEGATE_DRAIN_SECONDS", cls.drain_seconds),
            cors.origins(environ),
        )
