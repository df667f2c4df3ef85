"""Servers of the protocols of object stores, each in a process of its own: the clients under test are the real ones."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pyarrow import fs

BUCKET = "flights-data"
AZURE_ACCOUNT = "devstoreaccount1"
# The public key of every emulator.
AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

_AZURITE = Path(sys.prefix) / "azurite/node_modules/.bin/azurite-blob"
_S3 = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
server.stop()
"""
# Threads, since a client keeps one download open while it begins another.
_GS = """
import sys
from functools import partial
from http.server import ThreadingHTTPServer
from threading import Thread
from gcp_storage_emulator.server import RequestHandler
from gcp_storage_emulator.storage import Storage
server = ThreadingHTTPServer(("127.0.0.1", 0), partial(RequestHandler, Storage(use_memory_fs=True)))
Thread(target=server.serve_forever, daemon=True).start()
print(server.server_port, flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket, or in Azure a container, with the environment of a process that may use it."""

    scheme: str
    endpoint: str
    environ: Mapping[str, str]
    files: Any
    missing: str
    """How the store says that there is no such bucket."""

    def uri(self, key: str = "") -> str:
        """The location of an object."""
        return f"{self.scheme}://{BUCKET}/{key}" if key else f"{self.scheme}://{BUCKET}"

    def put(self, key: str, content: bytes) -> None:
        """Write an object."""
        with self.files.open_output_stream(f"{BUCKET}/{key}", compression=None) as stream:
            stream.write(content)

    def get(self, key: str) -> bytes:
        """Return the content of an object."""
        with self.files.open_input_file(f"{BUCKET}/{key}") as file:
            return bytes(file.read())

    def names(self, prefix: str = "") -> list[str]:
        """Return the names of the objects below a prefix."""
        base = f"{BUCKET}/{prefix}".rstrip("/")
        found = self.files.get_file_info(fs.FileSelector(base, recursive=True, allow_not_found=True))
        return sorted(item.path.removeprefix(f"{base}/") for item in found if item.type == fs.FileType.File)

    def clear(self) -> None:
        """Delete all objects."""
        if self.scheme == "az":
            # At once: PyArrow restores the folder of each file that it deletes, and waits for seconds if it still exists.
            self.files.delete_dir_contents(BUCKET, missing_dir_ok=True)
            return
        for name in self.names():
            self.files.delete_file(f"{BUCKET}/{name}")


@contextmanager
def s3() -> Iterator[str]:
    """Yield the endpoint of an S3 server."""
    with _started([sys.executable, "-W", "ignore", "-c", _S3]) as port:
        yield f"http://127.0.0.1:{port}"


@contextmanager
def gs() -> Iterator[str]:
    """Yield the endpoint of a server of Google Cloud Storage."""
    with _started([sys.executable, "-c", _GS]) as port:
        yield f"http://127.0.0.1:{port}"


@contextmanager
def az() -> Iterator[str]:
    """Yield the endpoint of an account in Azure Blob Storage."""
    if not _AZURITE.exists():
        pytest.skip("Azurite is not installed: run `make azurite`.")
    options = ["--blobHost", "127.0.0.1", "--blobPort", "0", "--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry"]
    with _started([str(_AZURITE), *options]) as port:
        yield f"http://127.0.0.1:{port}/{AZURE_ACCOUNT}"


def environ_of(scheme: str, endpoint: str) -> dict[str, str]:
    """Return the environment of a process that may use a server."""
    if scheme == "gs":
        return {"STORAGE_EMULATOR_HOST": endpoint}
    if scheme == "az":
        account = f"AccountName={AZURE_ACCOUNT};AccountKey={AZURE_KEY}"
        return {"AZURE_STORAGE_CONNECTION_STRING": f"DefaultEndpointsProtocol=http;{account};BlobEndpoint={endpoint};"}
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def bucket_of(scheme: str, endpoint: str) -> Bucket:
    """Return a bucket of a server, which is made."""
    files, missing = {"s3": _s3_files, "gs": _gs_files, "az": _az_files}[scheme](endpoint.split("/")[2])
    files.create_dir(BUCKET)
    return Bucket(scheme, endpoint, environ_of(scheme, endpoint), files, missing)


def _s3_files(host: str) -> tuple[Any, str]:
    files = fs.S3FileSystem(
        access_key="id",
        secret_key="secret",  # noqa: S106
        endpoint_override=host,
        scheme="http",
        region="us-east-1",
        allow_bucket_creation=True,
        allow_bucket_deletion=True,
    )
    return files, "no such bucket"


def _gs_files(host: str) -> tuple[Any, str]:
    files = fs.GcsFileSystem(
        anonymous=True, endpoint_override=host, scheme="http", project_id="tests", retry_time_limit=timedelta(seconds=10)
    )
    return files, "not found"


def _az_files(host: str) -> tuple[Any, str]:
    hosts = {"blob_storage_authority": host, "dfs_storage_authority": host, "blob_storage_scheme": "http", "dfs_storage_scheme": "http"}
    return fs.AzureFileSystem(AZURE_ACCOUNT, account_key=AZURE_KEY, **hosts), "container not found"


@contextmanager
def _started(command: list[str]) -> Iterator[str]:
    """Start a server, and yield the port at the end of the line that says that it listens."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout
        port = next((found[1] for line in server.stdout if (found := re.search(r"(?:^|:)([1-9]\d*)$", line.strip()))), None)
        assert port, "the server has not started"
        try:
            yield port
        finally:
            server.kill()
