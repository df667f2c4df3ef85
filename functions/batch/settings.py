"""Settings of a batch job, by environment variables."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from common.environ import Environ, flag, integer, number
from functions.batch.client import RetryPolicy
from functions.batch.storage.policy import SETTING as PATHS
from functions.batch.storage.policy import Policy

DEFAULT_PATHS = "/data,/tmp"
DEFAULT_ROUTER_URL = "http://router.default.svc.cluster.local"
DEFAULT_EVENT_PATH = "/etc/jobsink-event"
# MiB that the process needs before it has a row.
_LEAST_MEMORY = 192
# No limit makes sense at zero seconds; a millisecond is below any real one.
_LEAST_SECONDS = 0.001


# Without slots, so that a field's default can be read from the class.
@dataclass(frozen=True, kw_only=True)
class BatchLimits:
    """Bounds of a batch: what one request holds, how many run at once, and how long they may take."""

    chunk_rows: int = 16_384
    """TIDEGATE_BATCH_CHUNK_ROWS of a request: enough that the prediction dominates it, few enough that several requests
    share a function's limit of waiting rows. Requests are also limited in bytes."""

    json_bytes: int = 3 * 2**20
    """Bytes of JSON in a request: below the 4 MiB that a model function takes (TIDEGATE_MAX_JSON_BYTES)."""

    binary_bytes: int = 8 * 2**20
    """Bytes of binary tensors in a request: far below the 64 MiB of a body (TIDEGATE_MAX_BODY_BYTES), and read within
    milliseconds."""

    in_flight: int = 64
    """TIDEGATE_BATCH_IN_FLIGHT, requests at most: as many are sent as throughput grows with, so that the model scales
    out, and fewer when it is overloaded."""

    memory_bytes: int = 256 * 2**20
    """TIDEGATE_BATCH_MEMORY, in MiB: the memory of the whole process, of which the rows in flight get what is left."""

    request_timeout_seconds: float = 120.0
    """TIDEGATE_BATCH_REQUEST_TIMEOUT_SECONDS of one request, a start from zero included."""

    retry: RetryPolicy = field(default_factory=RetryPolicy)
    """TIDEGATE_BATCH_RETRY_SECONDS sets its `total_seconds`."""


@dataclass(frozen=True, kw_only=True)
class BatchSettings:
    """One batch job; every setting has a default."""

    router_url: str = DEFAULT_ROUTER_URL
    """TIDEGATE_ROUTER_URL: the router that chunks are posted to."""

    event_path: Path = Path(DEFAULT_EVENT_PATH)
    """K_EVENT_PATH: the folder in which a Knative JobSink mounts the event."""

    policy: Policy
    """TIDEGATE_BATCH_PATHS, comma-separated: input and output are below one of these folders or prefixes, links
    resolved. The defaults are the volume of the component nightly-batch, and room for temporary files.
    TIDEGATE_BATCH_PRIVATE_ADDRESSES lets names of allowed web servers resolve to addresses of private networks."""

    limits: BatchLimits

    sink: str | None = None
    """K_SINK: the URL that the events of the run are posted to; none are without it. A SinkBinding sets it."""

    shard: int | None = None
    """JOB_COMPLETION_INDEX: the number of this process, from 0, in an Indexed Job."""

    shards: int = 1
    """TIDEGATE_BATCH_SHARDS: the processes that share a run, which are the completions of an Indexed Job; a request may
    ask for fewer."""

    @classmethod
    def from_env(cls, environ: Environ) -> BatchSettings:
        """Read the settings. Raises InvalidSetting, naming the variable."""
        return cls(
            router_url=environ.get("TIDEGATE_ROUTER_URL") or cls.router_url,
            event_path=Path(environ.get("K_EVENT_PATH") or cls.event_path),
            policy=Policy.from_setting(
                environ.get(PATHS) or DEFAULT_PATHS, private_addresses=flag(environ, "TIDEGATE_BATCH_PRIVATE_ADDRESSES", False)
            ),
            sink=environ.get("K_SINK") or None,
            shard=integer(environ, "JOB_COMPLETION_INDEX", 0) if environ.get("JOB_COMPLETION_INDEX") else None,
            shards=integer(environ, "TIDEGATE_BATCH_SHARDS", cls.shards, least=1),
            limits=limits_from(environ),
        )


def limits_from(environ: Environ = os.environ) -> BatchLimits:
    """Read the limits. Raises InvalidSetting, naming the variable."""
    retry_seconds = number(environ, "TIDEGATE_BATCH_RETRY_SECONDS", RetryPolicy.total_seconds, least=_LEAST_SECONDS)
    return BatchLimits(
        chunk_rows=integer(environ, "TIDEGATE_BATCH_CHUNK_ROWS", BatchLimits.chunk_rows, least=1),
        in_flight=integer(environ, "TIDEGATE_BATCH_IN_FLIGHT", BatchLimits.in_flight, least=1),
        request_timeout_seconds=number(
            environ, "TIDEGATE_BATCH_REQUEST_TIMEOUT_SECONDS", BatchLimits.request_timeout_seconds, least=_LEAST_SECONDS
        ),
        memory_bytes=2**20 * integer(environ, "TIDEGATE_BATCH_MEMORY", BatchLimits.memory_bytes // 2**20, least=_LEAST_MEMORY),
        retry=RetryPolicy(total_seconds=retry_seconds),
    )
