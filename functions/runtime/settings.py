"""What a model function can be told, by environment variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from eventing.environ import number, one_of, required, whole

LOG_LEVELS = ("debug", "info", "warning", "error")


# Without slots, so that a field's default can be read from the class.
@dataclass(frozen=True)
class Settings:
    # TIDEGATE_MODEL: a folder with model.yaml, a model.yaml, or an XGBoost file; relative to the working directory.
    model: Path
    # PORT: Knative tells it; 8080 is what it tells by default.
    port: int = 8080
    # TIDEGATE_HOST: the address to listen on. A container is reached from outside; on a laptop only loopback should be.
    host: str = "0.0.0.0"  # noqa: S104
    # TIDEGATE_LOG_LEVEL
    log_level: str = "info"
    # TIDEGATE_MAX_BODY_BYTES of a request: 100,000 rows of 30 features in JSON are about 60 MiB.
    max_body_bytes: int = 64 * 2**20
    # TIDEGATE_DRAIN_SECONDS that requests in flight may take after SIGTERM; Knative grants timeoutSeconds, of which this leaves a little.
    drain_seconds: float = 25.0

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Raises InvalidSetting, naming the variable."""
        return cls(
            Path(required(environ, "TIDEGATE_MODEL")),
            whole(environ, "PORT", cls.port, most=65_535),
            environ.get("TIDEGATE_HOST") or cls.host,
            one_of(environ, "TIDEGATE_LOG_LEVEL", cls.log_level, LOG_LEVELS),
            whole(environ, "TIDEGATE_MAX_BODY_BYTES", cls.max_body_bytes, least=1),
            number(environ, "TIDEGATE_DRAIN_SECONDS", cls.drain_seconds),
        )
