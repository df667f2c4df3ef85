from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import InvalidSetting
from functions.batch.errors import InvalidPath
from functions.batch.storage import EVERYTHING, Policy
from functions.batch.storage.locations import parse


def test_default_applies_without_a_setting() -> None:
    assert [str(prefix) for prefix in Policy.from_env({}, "/data,/scratch").allowed or ()] == ["/data", "/scratch"]
    found = Policy.from_env({"TIDEGATE_BATCH_PATHS": "s3://b/p", "TIDEGATE_BATCH_PRIVATE_ADDRESSES": "true"}, "/data")
    assert ([str(prefix) for prefix in found.allowed or ()], found.folders, found.private_addresses) == (["s3://b/p"], (), True)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("data", "TIDEGATE_BATCH_PATHS has 'data', which is not an absolute path; write absolute paths"),
        ("ftp://host/a", "TIDEGATE_BATCH_PATHS: the scheme ftp is not supported"),
        ("https://host/a?b=secret", "TIDEGATE_BATCH_PATHS has https://host/a.…, which has a query; leave it out"),
        ("s3://id:secret@bucket", "TIDEGATE_BATCH_PATHS: the location s3://… is not a plain"),
    ],
)
def test_invalid_setting_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(InvalidSetting, match=sentence) as caught:
        Policy.from_setting(text)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("location", "allowed"),
    [
        ("/data/a.csv", True),
        ("/data", True),
        ("/data/../etc/passwd", False),
        ("/data-2/a.csv", False),
        ("file:///data/a.csv", True),
        ("s3://bucket/in/a.csv", True),
        ("s3://bucket/in", True),
        ("s3://bucket/in-2/a.csv", False),
        ("gs://bucket/in/a.csv", False),
        ("https://host/a.csv", True),
        ("https://HOST:443/a.csv?token=1", True),
        ("http://host/a.csv", False),
        ("https://host.evil/a.csv", False),
    ],
)
def test_prefixes_are_compared_by_segments(location: str, allowed: bool) -> None:
    policy = Policy.from_setting("/data, s3://bucket/in/, https://host")
    if allowed:
        policy.check(parse(location))
    else:
        with pytest.raises(InvalidPath, match="outside the locations that a batch may use"):
            policy.check(parse(location))
    EVERYTHING.check(parse(location))


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "169.254.169.254", "192.168.0.1", "::1", "fe80::1", "fd00::1", "::ffff:10.0.0.1", "0.0.0.1", "224.0.0.1"],
)
def test_private_address_is_refused(address: str) -> None:
    policy = Policy.from_setting("https://data.example.com")
    with pytest.raises(InvalidPath, match="which is not a public address"):
        policy.check_host("data.example.com", ["93.184.216.34", address])
    policy.check_host("data.example.com", ["93.184.216.34"])
    # Named by the operator itself.
    policy.check_host("10.1.2.3", ["10.1.2.3"])
    policy.check_host("localhost", ["127.0.0.1"])
    EVERYTHING.check_host("data.example.com", [address])


def test_link_is_resolved(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/link").symlink_to(tmp_path)
    with pytest.raises(InvalidPath, match="outside the locations"):
        Policy.from_setting(str(tmp_path / "in")).check(parse(str(tmp_path / "in/link/secret")))
