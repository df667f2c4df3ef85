from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.functions.batch.storage import servers
from tests.functions.batch.storage.servers import Bucket


@pytest.fixture(scope="session", params=["s3", "gs", "az"])
def made_bucket(request: pytest.FixtureRequest) -> Iterator[Bucket]:
    """A bucket of each object store."""
    with getattr(servers, request.param)() as endpoint:
        yield servers.bucket_of(request.param, endpoint)


@pytest.fixture
def bucket(made_bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """An empty bucket of each object store, in the environment of this process."""
    for name, value in made_bucket.environ.items():
        monkeypatch.setenv(name, value)
    yield made_bucket
    made_bucket.clear()
