"""Downloads of one file, over HTTP or by fsspec, bounded in size and in time."""

from __future__ import annotations

import hashlib
import importlib
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from common import loopback
from common.errors import TidegateError
from functions.runtime.artifacts import addresses
from functions.runtime.artifacts.policy import Policy
from functions.runtime.errors import InvalidModel

_CHUNK = 2**20
# Between two bytes of a server.
_SILENT_SECONDS = 30.0
_PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs", "abfss": "adlfs"}
_REASONS: dict[type[BaseException], str] = {
    FileNotFoundError: "not found",
    PermissionError: "access denied",
    socket.gaierror: "unknown host",
    TimeoutError: f"no data for {_SILENT_SECONDS:g} s",
}


def download(uri: str, to: Path, policy: Policy) -> str:
    """Write the remote file to a new local one; returns the sha256 of its bytes.

    It runs in a thread: every library limits the silence between two bytes, none the whole download. Raises
    InvalidModel, or OSError when the local file cannot be written.
    """
    stop = threading.Event()
    outcome: list[str | BaseException] = []

    def work() -> None:
        try:
            outcome.append(_copy(_chunks(uri, policy), to, stop))
        except BaseException as error:  # noqa: BLE001 raised again below, in the caller's thread
            outcome.append(error)

    thread = threading.Thread(target=work, name="download", daemon=True)
    thread.start()
    thread.join(policy.seconds)
    if not outcome:
        stop.set()
        raise InvalidModel(
            f"the artifact {addresses.redacted(uri)} was not fetched within {policy.seconds:g} s",
            remedy="try again, or raise TIDEGATE_ARTIFACT_SECONDS",
        )
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]


def _copy(chunks: Iterator[bytes], to: Path, stop: threading.Event) -> str:
    digest = hashlib.sha256()
    with to.open("xb") as file:  # before the first chunk, so that the file to remove after a failure is there
        for chunk in chunks:
            if stop.is_set():
                break
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


def _chunks(uri: str, policy: Policy) -> Iterator[bytes]:
    scheme = addresses.parse(uri).scheme
    reader = _over_http if scheme in ("http", "https") else _by_fsspec
    with _translated_errors(uri, scheme), reader(uri, policy) as (read, length):
        _check_size(length or 0, uri, policy.max_bytes)
        received = 0
        while chunk := read(_CHUNK):
            received += len(chunk)
            _check_size(received, uri, policy.max_bytes)
            yield chunk
        if length is not None and received < length:
            raise InvalidModel(f"the artifact {addresses.redacted(uri)} ended after {received} of {length} bytes", remedy="try again")


@contextmanager
def _over_http(uri: str, policy: Policy) -> Iterator[tuple[Callable[[int], bytes], int | None]]:
    """Open a URL without fsspec, whose HTTP follows redirects to any place."""
    opener = loopback.opener(uri, _Redirects(policy))
    request = urllib.request.Request(uri, headers={"User-Agent": "tidegate"})
    with opener.open(request, timeout=_SILENT_SECONDS) as response:
        yield response.read1, response.length


@contextmanager
def _by_fsspec(uri: str, _: Policy) -> Iterator[tuple[Callable[[int], bytes], int | None]]:
    """Open a URI by the file system of its scheme; fsspec.open would take `::` for one address inside another."""
    fsspec = importlib.import_module("fsspec")
    scheme = addresses.parse(uri).scheme
    if scheme not in fsspec.available_protocols():
        raise InvalidModel(f"fsspec does not support {scheme}:// of the artifact {addresses.redacted(uri)}", remedy="fix artifact.uri")
    files = fsspec.filesystem(scheme)
    with files.open(uri, "rb") as file:
        yield file.read, getattr(file, "size", None)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """A handler that follows redirects within the policy only."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        try:
            self._policy.check(newurl)
        except InvalidModel as error:
            fp.close()
            raise InvalidModel(f"{addresses.redacted(req.full_url)} redirects: {error.message}", remedy=error.remedy) from None
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@contextmanager
def _translated_errors(uri: str, scheme: str) -> Iterator[None]:
    """Turn every exception of a library into InvalidModel.

    The exception's text is left out, since it may repeat the URI with its signature.
    """
    try:
        yield
    except TidegateError:
        raise
    except ImportError:
        packages = " ".join(filter(None, ('"tidegate[artifacts]"', _PACKAGES.get(scheme))))
        raise InvalidModel(
            f"a package that reads the artifact {addresses.redacted(uri)} is not installed", remedy=f"pip install {packages}"
        ) from None
    except Exception as error:  # noqa: BLE001 each storage has its own exceptions
        raise InvalidModel(
            f"cannot fetch the artifact {addresses.redacted(uri)}: {_reason(error)}", remedy="fix artifact.uri, or the access to it"
        ) from None


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        return f"the server responded {error.code}"
    cause = error.reason if isinstance(error, urllib.error.URLError) and isinstance(error.reason, Exception) else error
    known = next((reason for kind, reason in _REASONS.items() if isinstance(cause, kind)), None)
    return known or (isinstance(cause, ConnectionError) and cause.strerror) or type(cause).__name__


def _check_size(size: int, uri: str, most: int) -> None:
    if size > most:
        raise InvalidModel(
            f"the artifact {addresses.redacted(uri)} has more than {most} bytes",
            remedy="raise TIDEGATE_MAX_ARTIFACT_BYTES if this is expected",
        )
