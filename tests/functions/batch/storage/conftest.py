from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from pyarrow import fs

# A server of the S3 protocol in a process of its own: the client under test is the real one.
_SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
server.stop()
"""
BUCKET = "flights-data"


@pytest.fixture(scope="session")
def s3_url() -> Iterator[str]:
    """The endpoint of an S3 server."""
    command = [sys.executable, "-W", "ignore", "-c", _SERVER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdin
        assert server.stdout
        yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
        server.stdin.close()


@pytest.fixture
def bucket(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[fs.FileSystem]:
    """An empty bucket, and the environment of a process that may use it."""
    variables = {
        "AWS_ENDPOINT_URL": s3_url,
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    store = fs.S3FileSystem(endpoint_override=s3_url, region="us-east-1", allow_bucket_creation=True, allow_bucket_deletion=True)
    store.create_dir(BUCKET)
    yield store
    store.delete_dir(BUCKET)
