"""What the router can be told, by environment variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from eventing.environ import number, one_of, whole
from functions.runtime.settings import LOG_LEVELS


@dataclass(frozen=True, slots=True)
class Settings:
    # PORT: Knative tells it; 8080 is what it tells by default.
    port: int = 8080
    # TIDEGATE_LOG_LEVEL
    log_level: str = "info"
    # TIDEGATE_MAX_BODY_BYTES: a body is held in memory, so that it can be split. As much as a model function takes.
    max_body_bytes: int = 64 * 2**20
    # TIDEGATE_REQUEST_SECONDS: how long a revision may take, its start from zero included. Knative's own limit when a Service names none.
    request_seconds: float = 300.0
    # TIDEGATE_FIRST_VIEW_SECONDS: how long a request waits for the first list of models, which takes milliseconds.
    first_view_seconds: float = 10.0
    # TIDEGATE_DRAIN_SECONDS: how long requests in flight may take after SIGTERM; Knative grants timeoutSeconds.
    drain_seconds: float = 25.0

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Raises InvalidSetting, naming the variable."""
        return cls(
            whole(environ, "PORT", 8080),
            one_of(environ, "TIDEGATE_LOG_LEVEL", "info", LOG_LEVELS),
            whole(environ, "TIDEGATE_MAX_BODY_BYTES", 64 * 2**20, least=1),
            number(environ, "TIDEGATE_REQUEST_SECONDS", 300.0),
            number(environ, "TIDEGATE_FIRST_VIEW_SECONDS", 10.0),
            number(environ, "TIDEGATE_DRAIN_SECONDS", 25.0),
        )
