from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import InvalidSetting
from functions.batch.settings import BatchSettings, Limits


def test_every_setting_has_a_default() -> None:
    found = BatchSettings.from_env({})
    assert found.policy.folders == (Path("/data").resolve(), Path("/tmp").resolve())  # noqa: S108
    assert (found.router_url, found.event_path) == (BatchSettings.router_url, BatchSettings.event_path)
    assert found.limits == Limits()


def test_environment_overrides_the_defaults() -> None:
    found = BatchSettings.from_env(
        {
            "TIDEGATE_ROUTER_URL": "http://router.shop",
            "K_EVENT_PATH": "/event",
            "TIDEGATE_BATCH_CHUNK_ROWS": "10",
            "TIDEGATE_BATCH_IN_FLIGHT": "2",
            "TIDEGATE_BATCH_REQUEST_TIMEOUT_SECONDS": "0.5",
            "TIDEGATE_BATCH_RETRY_SECONDS": "3",
            "TIDEGATE_BATCH_MEMORY": "512",
            "TIDEGATE_BATCH_SHARDS": "4",
            "JOB_COMPLETION_INDEX": "3",
            "K_SINK": "http://sink",
        }
    )
    assert (found.router_url, found.event_path) == ("http://router.shop", Path("/event"))
    assert (found.limits.memory_bytes, found.shards, found.shard, found.sink) == (512 * 2**20, 4, 3, "http://sink")
    limits = found.limits
    assert (limits.chunk_rows, limits.in_flight, limits.request_timeout_seconds, limits.retry.total_seconds) == (10, 2, 0.5, 3)


def test_paths_are_resolved(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    data = tmp_path / "data"
    assert BatchSettings.from_env({"TIDEGATE_BATCH_PATHS": f" {data}/ , {data}/../data,"}).policy.folders == (data, data)


def test_relative_path_is_refused() -> None:
    with pytest.raises(InvalidSetting, match="TIDEGATE_BATCH_PATHS has 'data', which is not an absolute path; write absolute paths"):
        BatchSettings.from_env({"TIDEGATE_BATCH_PATHS": "data"})


@pytest.mark.parametrize("name", ["CHUNK_ROWS", "IN_FLIGHT", "REQUEST_TIMEOUT_SECONDS", "RETRY_SECONDS"])
def test_limit_of_zero_is_refused(name: str) -> None:
    with pytest.raises(InvalidSetting, match=f"TIDEGATE_BATCH_{name} is '0'; set a number of at least"):
        BatchSettings.from_env({f"TIDEGATE_BATCH_{name}": "0"})
