"""What a model function can be told, by environment variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from common.environ import flag, integer, number, required
from functions.runtime.http import cors, hosts


# Without slots, so that a field's default can be read from the class.
@dataclass(frozen=True)
class Settings:
    # TIDEGATE_MODEL: a folder with a model.yaml or with several such folders, a model.yaml, or a bare artifact; from the working directory.
    model: Path
    # PORT: Knative tells it; 8080 is what it tells by default.
    port: int = 8080
    # TIDEGATE_HOST: the address to listen on. A container is reached from outside; on a laptop only loopback should be.
    host: str = "0.0.0.0"  # noqa: S104
    # TIDEGATE_MAX_BODY_BYTES of a request: binary tensors of 100,000 rows of 100 FP32 features are 38 MiB.
    max_body_bytes: int = 64 * 2**20
    # TIDEGATE_MAX_JSON_BYTES of a request: nothing else, not even liveness, is answered while a parser runs; 4 MiB may take it 40 ms.
    max_json_bytes: int = 4 * 2**20
    # TIDEGATE_MAX_WAITING_BYTES of all requests and unread answers: what a burst of large ones may take of the memory; beyond it, 429.
    max_waiting_bytes: int = 128 * 2**20
    # TIDEGATE_MAX_ROWS of a request: a larger one is better sent in parts, so that replicas can share it.
    max_rows: int = 100_000
    # TIDEGATE_MAX_WAITING_ROWS of all requests together: about a second of work at 3 us a row; beyond it they get 429.
    max_waiting_rows: int = 300_000
    # TIDEGATE_MAX_WAITING_REQUESTS at once; beyond it they get 429. Knative's containerConcurrency, if set, is far below it.
    max_waiting_requests: int = 4_096
    # TIDEGATE_TIMEOUT_SECONDS that a request may take: Knative's timeoutSeconds, after which nobody waits for the answer.
    timeout_seconds: float = 300.0
    # TIDEGATE_DRAIN_SECONDS that requests in flight may take after SIGTERM; Knative grants timeoutSeconds, of which this leaves a little.
    drain_seconds: float = 25.0
    # TIDEGATE_MODEL_CONTROL: true lets callers unload a model and load it again; off, since whoever reaches the port could stop it.
    model_control: bool = False
    # TIDEGATE_CORS_ORIGINS, comma-separated, or `*`: pages of these origins may call the function. None: browsers are not its callers.
    cors_origins: tuple[str, ...] = ()
    # TIDEGATE_ALLOWED_HOSTS, comma-separated, `*.` for all names under one: other Host headers get 403. All: the ingress has checked them.
    allowed_hosts: tuple[str, ...] = ()

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Raises InvalidSetting, naming the variable."""
        return cls(
            Path(required(environ, "TIDEGATE_MODEL")),
            integer(environ, "PORT", cls.port, most=65_535),
            environ.get("TIDEGATE_HOST") or cls.host,
            integer(environ, "TIDEGATE_MAX_BODY_BYTES", cls.max_body_bytes, least=1),
            integer(environ, "TIDEGATE_MAX_JSON_BYTES", cls.max_json_bytes, least=1),
            integer(environ, "TIDEGATE_MAX_WAITING_BYTES", cls.max_waiting_bytes, least=1),
            integer(environ, "TIDEGATE_MAX_ROWS", cls.max_rows, least=1),
            integer(environ, "TIDEGATE_MAX_WAITING_ROWS", cls.max_waiting_rows, least=1),
            integer(environ, "TIDEGATE_MAX_WAITING_REQUESTS", cls.max_waiting_requests, least=1),
            number(environ, "TIDEGATE_TIMEOUT_SECONDS", cls.timeout_seconds),
            number(environ, "TIDEGATE_DRAIN_SECONDS", cls.drain_seconds),
            flag(environ, "TIDEGATE_MODEL_CONTROL", cls.model_control),
            cors.origins(environ),
            hosts.allowed_hosts(environ),
        )
