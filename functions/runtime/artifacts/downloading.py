"""Downloads: one file over HTTP, or by whatever fsspec reads, bounded in size and in time."""

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
from functions.runtime.artifacts.fetching import Policy
from functions.runtime.errors import InvalidModel

_CHUNK = 2**20
# Of a server that says nothing.
_SILENT_SECONDS = 30.0
_PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs", "abfss": "adlfs"}
_REASONS: dict[type[BaseException], str] = {
    FileNotFoundError: "it is not there",
    PermissionError: "access is denied",
    socket.gaierror: "its host is not known",
    TimeoutError: f"nothing came for {_SILENT_SECONDS:g} s",
}


def download(uri: str, to: Path, policy: Policy) -> str:
    """Write it to a new file; returns the sha256 of what came. Raises InvalidModel, or OSError when the file cannot be written.

    In a thread of its own: every library bounds the silence between two bytes, none the whole.
    """
    stop = threading.Event()
    outcome: list[str | BaseException] = []

    def work() -> None:
        try:
            outcome.append(_copy(_chunks(uri, policy), to, stop))
        except BaseException as error:  # noqa: BLE001 it is raised again where it was waited for
            outcome.append(error)

    thread = threading.Thread(target=work, name="download", daemon=True)
    thread.start()
    thread.join(policy.seconds)
    if not outcome:
        stop.set()
        what = addresses.shown(uri)
        raise InvalidModel(
            f"the artifact {what} was not fetched within {policy.seconds:g} s; try again, or raise TIDEGATE_ARTIFACT_SECONDS."
        )
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]


def _copy(chunks: Iterator[bytes], to: Path, stop: threading.Event) -> str:
    digest = hashlib.sha256()
    with to.open("xb") as file:  # first of all, so that whoever gives up knows what to remove
        for chunk in chunks:
            if stop.is_set():
                break
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


def _chunks(uri: str, policy: Policy) -> Iterator[bytes]:
    scheme = addresses.parse(uri).scheme
    reader = _over_http if scheme in ("http", "https") else _by_fsspec
    with _told(uri, scheme), reader(uri, policy) as (read, length):
        _check_size(length or 0, uri, policy.max_bytes)
        came = 0
        while chunk := read(_CHUNK):
            came += len(chunk)
            _check_size(came, uri, policy.max_bytes)
            yield chunk
        if length is not None and came < length:
            raise InvalidModel(f"the artifact {addresses.shown(uri)} ended after {came} of {length} bytes; try again.")


@contextmanager
def _over_http(uri: str, policy: Policy) -> Iterator[tuple[Callable[[int], bytes], int | None]]:
    """Without fsspec, whose HTTP follows redirects wherever they lead."""
    opener = loopback.opener(uri, _Redirects(policy))
    request = urllib.request.Request(uri, headers={"User-Agent": "tidegate"})
    with opener.open(request, timeout=_SILENT_SECONDS) as response:
        yield response.read1, response.length


@contextmanager
def _by_fsspec(uri: str, _: Policy) -> Iterator[tuple[Callable[[int], bytes], int | None]]:
    """Not by fsspec.open, which takes `::` for one address inside another."""
    fsspec = importlib.import_module("fsspec")
    scheme = addresses.parse(uri).scheme
    if scheme not in fsspec.available_protocols():
        raise InvalidModel(f"fsspec reads no {scheme}://, where the artifact {addresses.shown(uri)} is; mend artifact.uri.")
    files = fsspec.filesystem(scheme)
    with files.open(uri, "rb") as file:
        yield file.read, getattr(file, "size", None)


class _Redirects(urllib.request.HTTPRedirectHandler):
    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        try:
            self._policy.check(newurl)
        except InvalidModel as error:
            fp.close()
            raise InvalidModel(f"{addresses.shown(req.full_url)} redirects: {error}") from None
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@contextmanager
def _told(uri: str, scheme: str) -> Iterator[None]:
    """One sentence for whatever a library raises; its own words may repeat the URI with its signature, so they are not told."""
    try:
        yield
    except TidegateError:
        raise
    except ImportError:
        packages = " ".join(filter(None, ('"tidegate[artifacts]"', _PACKAGES.get(scheme))))
        raise InvalidModel(f"the artifact {addresses.shown(uri)} needs a package to be read: pip install {packages}.") from None
    except Exception as error:  # noqa: BLE001 each storage has its own
        raise InvalidModel(
            f"cannot fetch the artifact {addresses.shown(uri)}: {_reason(error)}; mend artifact.uri, or what keeps it from being read."
        ) from None


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        return f"the server answers {error.code}"
    cause = error.reason if isinstance(error, urllib.error.URLError) and isinstance(error.reason, Exception) else error
    known = next((reason for kind, reason in _REASONS.items() if isinstance(cause, kind)), None)
    return known or (isinstance(cause, ConnectionError) and cause.strerror) or type(cause).__name__


def _check_size(size: int, uri: str, most: int) -> None:
    if size > most:
        raise InvalidModel(
            f"the artifact {addresses.shown(uri)} has more than {most} bytes; raise TIDEGATE_MAX_ARTIFACT_BYTES if it is meant to."
        )
