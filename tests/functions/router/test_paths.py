from __future__ import annotations

import pytest

from functions.router.paths import Kind, check, find, without_slash
from functions.runtime.errors import InvalidInput


@pytest.mark.parametrize(
    "path",
    [
        *(b"/v2/models/../..", b"/v2/models/flights/..", b"/v2/./models", b"/.", b"/..", b"/../v2"),
        *(b"/v2/models/%2e%2e/infer", b"/v2/models/%2E./infer", b"/v2/models/.%2e", b"/v2/models/flights/..;a/infer"),
        *(b"/v2/models/flights%2finfer", b"/v2/models/a%2F..%2Fb", b"/v2/models/a%5c..", b"/v2/models\\flights", b"/v2/models/a%00"),
    ],
)
def test_an_ambiguous_path_is_refused(path: bytes) -> None:
    with pytest.raises(InvalidInput, match=r"^the path has .*; s"):
        check(path)


@pytest.mark.parametrize(
    "path", [b"/", b"/v2/models/flights/versions/1.2.3/infer", b"/models/a..b", b"/v2/models/...", b"/v2/a%20b", b"/a.."]
)
def test_other_dots_and_escapes_are_accepted(path: bytes) -> None:
    check(path)


@pytest.mark.parametrize(
    ("path", "kind", "model", "version"),
    [
        ("/v2/models/a/infer", Kind.INFER, "a", None),
        ("/v2/models/a/versions/1.2/infer", Kind.INFER, "a", "1.2"),
        ("/v2/models/a", Kind.METADATA, "a", None),
        ("/v2/models/a/versions/2", Kind.METADATA, "a", "2"),
        ("/v2/models/a/versions/2/ready", Kind.ONE, "a", "2"),
        ("/v2/models/a/config", Kind.ONE, "a", None),
        ("/v1/models/a", Kind.ONE, "a", None),
        ("/v1/models/a:predict", Kind.ONE, "a", None),
        ("/v1/models/a/versions/2", Kind.ONE, "a", "2"),
        ("/v1/models/a/versions/2:predict", Kind.ONE, "a", "2"),
        ("/models/a", Kind.EVENTS, "a", None),
        ("/models/a/openapi.json", Kind.OPENAPI, "a", None),
    ],
)
def test_a_path_of_a_model_is_parsed(path: str, kind: Kind, model: str, version: str | None) -> None:
    found = find(path)
    assert found is not None
    assert found[:3] == (kind, model, version)
    assert find(without_slash(f"{path}/")) == found


@pytest.mark.parametrize(
    "path", ["/", "/v2", "/v2/models", "/v3/models/a", "/models/a/b", "/v2/models/a:b", "/v1/models/a:predict/b", "/v2/models//infer"]
)
def test_other_paths_are_not_those_of_a_model(path: str) -> None:
    assert find(path) is None


def test_one_trailing_slash_has_no_meaning() -> None:
    assert [without_slash(path) for path in ("/", "/v2/", "/v2", "/v2//")] == ["/", "/v2", "/v2", "/v2/"]
