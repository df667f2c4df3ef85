from __future__ import annotations

import pytest

from functions.batch.storage import globs


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("*.csv", "a.csv", True),
        ("*.csv", "b/a.csv", False),
        ("*.csv", "a.csv.gz", False),
        ("**/*.csv", "a.csv", True),
        ("**/*.csv", "b/c/a.csv", True),
        ("**", "b/c/a.csv", True),
        ("date=2026-*/**/p[0-9].parquet", "date=2026-11/hour=1/p7.parquet", True),
        ("date=2026-*/**/p[0-9].parquet", "date=2026-11/p7.parquet", True),
        ("date=2026-*/**/p[0-9].parquet", "date=2025-11/p7.parquet", False),
        ("p[!0-9].csv", "px.csv", True),
        ("p[!0-9].csv", "p1.csv", False),
        ("a?.csv", "ab.csv", True),
        ("a+(b).csv*", "a+(b).csv.gz", True),
    ],
)
def test_pattern_matches_names(pattern: str, name: str, matches: bool) -> None:
    assert globs.matcher(pattern)(name) is matches


@pytest.mark.parametrize("name", ["_SUCCESS", ".a.crc", "a/_manifest.json", "_tidegate/a.parquet", ".git/a.csv"])
def test_metadata_is_hidden(name: str) -> None:
    assert globs.is_hidden(name)


def test_partition_whose_name_begins_with_an_underscore_is_visible() -> None:
    assert not globs.is_hidden("_date=1/a.parquet")


def test_numbers_with_leading_zeros_are_strings() -> None:
    assert str(globs.partition_types(["m=01/a", "m=2/b"])["m"]) == "string"
    assert str(globs.partition_types(["m=1/a", "m=-2/b", "m=__HIVE_DEFAULT_PARTITION__/c"])["m"]) == "int64"
