"""Settings of a model function, from environment variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from common.environ import flag, integer, number, required
from functions.runtime.http import cors, hosts
from functions.runtime.inference.limits import MAX_ROWS, MAX_WAITING_ROWS


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one process. Everything but the model has a default."""

    model: Path
    """TIDEGATE_MODEL: a folder with a model.yaml or with several such folders, a model.yaml, or a bare artifact;
    relative to the working directory.
    """

    port: int = 8080
    """PORT: Knative sets it; 8080 is its default."""

    host: str = "0.0.0.0"  # noqa: S104
    """TIDEGATE_HOST: the address to listen on.

    A container is reached from outside; on a laptop only loopback should be.
    """

    max_body_bytes: int = 64 * 2**20
    """TIDEGATE_MAX_BODY_BYTES: bytes of a request. Binary tensors of 100,000 rows of 100 FP32 features are 38 MiB."""

    max_json_bytes: int = 4 * 2**20
    """TIDEGATE_MAX_JSON_BYTES: bytes of JSON in a request. Nothing else, not even liveness, is answered while the parser runs; 4 MiB
    may take it 40 ms.
    """

    max_waiting_bytes: int = 128 * 2**20
    """TIDEGATE_MAX_WAITING_BYTES: bytes of all requests and unread answers, the memory for a burst of large ones; beyond it,
    429.
    """

    max_rows: int = MAX_ROWS
    """TIDEGATE_MAX_ROWS: rows of a request. A larger one is better sent in parts, so that replicas can share it."""

    max_waiting_rows: int = MAX_WAITING_ROWS
    """TIDEGATE_MAX_WAITING_ROWS: rows of all requests together, about a second of work at 3 us a row; beyond it, 429."""

    max_waiting_requests: int = 4_096
    """TIDEGATE_MAX_WAITING_REQUESTS: requests in flight; beyond it, 429.

    Knative's containerConcurrency, if set, is far below it.
    """

    timeout_seconds: float = 300.0
    """TIDEGATE_TIMEOUT_SECONDS: seconds for a request. Knative's timeoutSeconds, after which no caller waits for the answer."""

    drain_seconds: float = 25.0
    """TIDEGATE_DRAIN_SECONDS for requests in flight after SIGTERM; Knative grants timeoutSeconds, of which this leaves
    a little.
    """

    model_control: bool = False
    """TIDEGATE_MODEL_CONTROL: true lets callers unload a model and load it again; off, since any caller could stop the
    model.
    """

    cors_origins: tuple[str, ...] = ()
    """TIDEGATE_CORS_ORIGINS, comma-separated, or `*`: pages of these origins may call the function.

    None by default: its callers are not browsers.
    """

    allowed_hosts: tuple[str, ...] = ()
    """TIDEGATE_ALLOWED_HOSTS, comma-separated, `*.` for all names under a domain: other Host headers get 403.

    All by default: the ingress has checked them.
    """

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Raises InvalidSetting, naming the variable."""
        return cls(
            model=Path(required(environ, "TIDEGATE_MODEL")),
            port=integer(environ, "PORT", cls.port, most=65_535),
            host=environ.get("TIDEGATE_HOST") or cls.host,
            max_body_bytes=integer(environ, "TIDEGATE_MAX_BODY_BYTES", cls.max_body_bytes, least=1),
            max_json_bytes=integer(environ, "TIDEGATE_MAX_JSON_BYTES", cls.max_json_bytes, least=1),
            max_waiting_bytes=integer(environ, "TIDEGATE_MAX_WAITING_BYTES", cls.max_waiting_bytes, least=1),
            max_rows=integer(environ, "TIDEGATE_MAX_ROWS", cls.max_rows, least=1),
            max_waiting_rows=integer(environ, "TIDEGATE_MAX_WAITING_ROWS", cls.max_waiting_rows, least=1),
            max_waiting_requests=integer(environ, "TIDEGATE_MAX_WAITING_REQUESTS", cls.max_waiting_requests, least=1),
            timeout_seconds=number(environ, "TIDEGATE_TIMEOUT_SECONDS", cls.timeout_seconds),
            drain_seconds=number(environ, "TIDEGATE_DRAIN_SECONDS", cls.drain_seconds),
            model_control=flag(environ, "TIDEGATE_MODEL_CONTROL", cls.model_control),
            cors_origins=cors.origins(environ),
            allowed_hosts=hosts.allowed_hosts(environ),
        )
