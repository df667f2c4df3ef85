"""PyArrow's file systems of object stores, with endpoint and credentials from the environment, never from a URI.

A URI can be written by anyone who sends an event; the options of PyArrow's own URIs include the host to connect to.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from pyarrow import fs

from functions.batch.storage import azure

# Google's client retries for 15 minutes unless limited, also without credentials. Its last attempt adds a third to this.
_RETRY = timedelta(seconds=15)
_TIMEOUT_SECONDS = 30.0


def filesystem(scheme: str, bucket: str, environ: Mapping[str, str] = os.environ) -> fs.FileSystem:
    """Return the file system of a scheme.

    Raises InvalidSetting when the environment lacks what the store needs, and InvalidPath for one that cannot be reached.
    """
    options = {"s3": _s3, "gs": _gs, "az": azure.options}[scheme](environ)
    if scheme == "s3" and not options.get("region") and not options.get("endpoint_override"):
        options["region"] = _region_of(bucket)
    return _made(scheme, tuple(sorted(options.items())))


@cache
def _made(scheme: str, options: tuple[tuple[str, Any], ...]) -> fs.FileSystem:
    if scheme == "az":
        azure.check_connection(dict(options))
    kinds: dict[str, Any] = {"s3": fs.S3FileSystem, "gs": fs.GcsFileSystem, "az": fs.AzureFileSystem}
    return kinds[scheme](**dict(options))


@cache
def _region_of(bucket: str) -> str | None:
    try:
        return str(fs.resolve_s3_region(bucket))
    except OSError:
        return None


def _s3(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the options of S3; the AWS SDK finds credentials by itself, and PyArrow does not look for the endpoint."""
    return {
        "endpoint_override": environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL") or None,
        "region": environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or None,
        "request_timeout": _TIMEOUT_SECONDS,
        "connect_timeout": 10.0,
        # A small file is one request. Parts of a large one that are sent in the background would be held in memory.
        "allow_delayed_open": True,
        "background_writes": False,
    }


def _gs(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the options of Google Cloud Storage; its SDK finds credentials by itself, and an emulator takes none."""
    emulator, private = environ.get("STORAGE_EMULATOR_HOST"), environ.get("CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE")
    options: dict[str, Any] = {"retry_time_limit": _RETRY}
    endpoint = emulator or private
    if endpoint:
        parts = urlsplit(endpoint if "//" in endpoint else f"http://{endpoint}")
        options |= {"endpoint_override": parts.netloc, "scheme": parts.scheme}
    return {**options, "anonymous": True} if emulator else options
