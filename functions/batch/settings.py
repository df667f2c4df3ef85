"""Settings of a batch job, by environment variables."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from common.environ import Environ, integer, number
from common.errors import InvalidSetting
from functions.batch.client import RetryPolicy
from functions.batch.storage.paths import SETTING as PATHS

DEFAULT_PATHS = "/data,/tmp"
DEFAULT_ROUTER_URL = "http://router.default.svc.cluster.local"
DEFAULT_EVENT_PATH = "/etc/jobsink-event"
# No limit makes sense at zero seconds; a millisecond is below any real one.
_LEAST_SECONDS = 0.001


# Without slots, so that a field's default can be read from the class.
@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds of a batch: what one request holds, how many run at once, and how long they may take."""

    chunk_rows: int = 1_000
    """TIDEGATE_BATCH_CHUNK_ROWS of a request: enough that the prediction dominates it, few enough that a start from
    zero loses little work."""

    json_bytes: int = 3 * 2**20
    """Bytes of JSON in a request: below the 4 MiB that a model function takes (TIDEGATE_MAX_JSON_BYTES)."""

    binary_bytes: int = 8 * 2**20
    """Bytes of binary tensors in a request: far below the 64 MiB of a body (TIDEGATE_MAX_BODY_BYTES), and read within
    milliseconds."""

    in_flight: int = 4
    """TIDEGATE_BATCH_IN_FLIGHT, requests: two keep the model busy, more let it scale out."""

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

    folders: tuple[Path, ...]
    """TIDEGATE_BATCH_PATHS, comma-separated: input and output are below one of these folders, links resolved. The
    defaults are the volume of the component nightly-batch, and room for temporary files."""

    limits: Limits

    @classmethod
    def from_env(cls, environ: Environ) -> BatchSettings:
        """Read the settings. Raises InvalidSetting, naming the variable."""
        retry_seconds = number(environ, "TIDEGATE_BATCH_RETRY_SECONDS", RetryPolicy.total_seconds, least=_LEAST_SECONDS)
        return cls(
            router_url=environ.get("TIDEGATE_ROUTER_URL") or cls.router_url,
            event_path=Path(environ.get("K_EVENT_PATH") or cls.event_path),
            folders=_folders(environ),
            limits=Limits(
                chunk_rows=integer(environ, "TIDEGATE_BATCH_CHUNK_ROWS", Limits.chunk_rows, least=1),
                in_flight=integer(environ, "TIDEGATE_BATCH_IN_FLIGHT", Limits.in_flight, least=1),
                request_timeout_seconds=number(
                    environ, "TIDEGATE_BATCH_REQUEST_TIMEOUT_SECONDS", Limits.request_timeout_seconds, least=_LEAST_SECONDS
                ),
                retry=RetryPolicy(total_seconds=retry_seconds),
            ),
        )


def _folders(environ: Environ) -> tuple[Path, ...]:
    setting = environ.get(PATHS) or DEFAULT_PATHS
    found = tuple(Path(text.strip()) for text in setting.split(",") if text.strip())
    for folder in found:
        if not folder.is_absolute() or "\0" in str(folder):
            raise InvalidSetting(f"{PATHS} has {str(folder)!r}, which is not an absolute path", remedy="write absolute paths")
    return tuple(folder.resolve() for folder in found)
