"""Settings of the router, from environment variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from common.environ import flag, integer, number, url
from functions.runtime.http import cors
from functions.runtime.observability.settings import ObservabilitySettings
from functions.runtime.settings import Settings as FunctionSettings


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one process. Defaults that it shares with a model function are read from there."""

    port: int = FunctionSettings.port
    """PORT: Knative sets it; 8080 is its default."""

    host: str = FunctionSettings.host
    """TIDEGATE_HOST: the address to listen on.

    A container is reached from outside; on a laptop only loopback should be.
    """

    max_body_bytes: int = FunctionSettings.max_body_bytes
    """TIDEGATE_MAX_BODY_BYTES: a body is held in memory, so that it can be split. The same as of a model function."""

    max_json_bytes: int = FunctionSettings.max_json_bytes
    """TIDEGATE_MAX_JSON_BYTES that the router parses itself, to split a request or to join its answers; a request that
    is forwarded as it is meets the limit of its model.
    """

    max_waiting_bytes: int = FunctionSettings.max_waiting_bytes
    """TIDEGATE_MAX_WAITING_BYTES of all requests together, and of answers that are joined; beyond it, 429."""

    max_waiting_requests: int = FunctionSettings.max_waiting_requests
    """TIDEGATE_MAX_WAITING_REQUESTS in flight; beyond it, 429."""

    body_seconds: float = 60.0
    """TIDEGATE_BODY_SECONDS that a body may take to arrive: Knative's timeoutSeconds of the router's own Service."""

    request_seconds: float = 300.0
    """TIDEGATE_REQUEST_SECONDS that a revision may take, its start from zero included: Knative's default for
    timeoutSeconds.
    """

    retry_seconds: float = 5.0
    """TIDEGATE_RETRY_SECONDS: how long a call that reaches no revision is retried.

    A container that has ended is back after one or two. A canary that is absent for longer counts as failing.
    """

    allow_override: bool = True
    """TIDEGATE_ALLOW_OVERRIDE: false refuses requests and events that name the revision to answer them."""

    first_view_seconds: float = 10.0
    """TIDEGATE_FIRST_VIEW_SECONDS that a request waits for the first list of models, which takes milliseconds."""

    drain_seconds: float = FunctionSettings.drain_seconds
    """TIDEGATE_DRAIN_SECONDS for requests in flight after SIGTERM; Knative grants timeoutSeconds."""

    sink: str | None = None
    """K_SINK: the URL that outcomes are posted to, as a SinkBinding sets it. None are collected without it."""

    flush_seconds: float = ObservabilitySettings.flush_seconds
    """TIDEGATE_FLUSH_SECONDS to send the last outcomes at the end, after the requests in flight."""

    cors_origins: tuple[str, ...] = ()
    """TIDEGATE_CORS_ORIGINS, comma-separated, or `*`: pages of these origins may call the router."""

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Raises InvalidSetting, naming the variable."""
        return cls(
            port=integer(environ, "PORT", cls.port, most=65_535),
            host=environ.get("TIDEGATE_HOST") or cls.host,
            max_body_bytes=integer(environ, "TIDEGATE_MAX_BODY_BYTES", cls.max_body_bytes, least=1),
            max_json_bytes=integer(environ, "TIDEGATE_MAX_JSON_BYTES", cls.max_json_bytes, least=1),
            max_waiting_bytes=integer(environ, "TIDEGATE_MAX_WAITING_BYTES", cls.max_waiting_bytes, least=1),
            max_waiting_requests=integer(environ, "TIDEGATE_MAX_WAITING_REQUESTS", cls.max_waiting_requests, least=1),
            body_seconds=number(environ, "TIDEGATE_BODY_SECONDS", cls.body_seconds),
            request_seconds=number(environ, "TIDEGATE_REQUEST_SECONDS", cls.request_seconds),
            retry_seconds=number(environ, "TIDEGATE_RETRY_SECONDS", cls.retry_seconds),
            allow_override=flag(environ, "TIDEGATE_ALLOW_OVERRIDE", cls.allow_override),
            first_view_seconds=number(environ, "TIDEGATE_FIRST_VIEW_SECONDS", cls.first_view_seconds),
            drain_seconds=number(environ, "TIDEGATE_DRAIN_SECONDS", cls.drain_seconds),
            sink=url(environ, "K_SINK"),
            flush_seconds=number(environ, "TIDEGATE_FLUSH_SECONDS", cls.flush_seconds),
            cors_origins=cors.origins(environ),
        )
