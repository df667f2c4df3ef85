from __future__ import annotations

import posixpath
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.runtime.artifacts.addresses import InvalidAddress, parse, redacted


@pytest.mark.parametrize(
    ("uri", "prefix"),
    [
        ("s3://models/a.ubj", "s3://models"),
        ("s3://models/a.ubj", "s3://models/"),
        ("s3://models/prod/a b.ubj", "s3://models/prod"),
        ("s3://models/prod/a.ubj", "s3://models/prod/a.ubj"),
        ("https://Models.example.com:443/a.ubj?signature=x", "https://models.example.com"),
        ("https://models.example.com:8443/a.ubj", "https://models.example.com:8443/"),
        ("http://[::1]:80/a.ubj", "http://[::1]"),
        ("file:///mnt/models/a.ubj", "file:///mnt/models"),
    ],
)
def test_an_address_is_within_its_prefix(uri: str, prefix: str) -> None:
    assert parse(uri).within(parse(prefix))


@pytest.mark.parametrize(
    ("uri", "prefix"),
    [
        ("s3://models-evil/a.ubj", "s3://models"),
        ("s3://models/production/a.ubj", "s3://models/prod"),
        ("s3://models/prod", "s3://models/prod/x"),
        ("s3://Models/a.ubj", "s3://models"),
        ("gs://models/a.ubj", "s3://models"),
        ("http://models.example.com/a.ubj", "https://models.example.com"),
        ("https://models.example.com:8443/a.ubj", "https://models.example.com"),
        ("https://models.example.com.evil.org/a.ubj", "https://models.example.com"),
        ("https://evil.org/?https://models.example.com/a.ubj", "https://models.example.com"),
        ("file:///etc/passwd", "file:///mnt/models"),
    ],
)
def test_an_address_is_not_within_a_similar_prefix(uri: str, prefix: str) -> None:
    assert not parse(uri).within(parse(prefix))


@pytest.mark.parametrize(
    "uri",
    [
        "https://models.example.com@evil.org/a.ubj",
        "https://user:secret@models.example.com/a.ubj",
        "https://user:sec/ret@models.example.com/a.ubj",
        "https://models.example.com\\@evil.org/a.ubj",
        "https://models.example.com/../secret",
        "https://models.example.com/a/%2e%2E/secret",
        "https://models.example.com/a/..%2fsecret",
        "https://models.example.com/a/%252e%252e/secret",
        "https://models.example.com/a/%c0%ae%c0%ae/secret",
        "https://models.example.com/a/..;x/secret",
        "https://models.example.com/a\t/b",
        "https://models.example.com/a#secret",
        "https:///a.ubj",
        "https://moдels.example.com/a.ubj",
        "simplecache::https://models.example.com/a.ubj",
        "HTTPS://models.example.com/a.ubj",
        "file://etc/passwd",
        "s3:models/secret",
        "models/secret",
        "",
    ],
)
def test_an_ambiguous_address_is_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(InvalidAddress) as caught:
        parse(uri)
    assert "sec" not in str(caught.value) + redacted(uri)


def test_a_signature_is_redacted() -> None:
    assert redacted("https://h/a.ubj?X-Signature=secret") == "https://h/a.ubj?…"


@pytest.mark.parametrize(
    ("uri", "suffix"), [("s3://b/a.tar.gz", ".gz"), ("s3://b/a.ubj?v=.x", ".ubj"), ("s3://b.c/a", ""), ("s3://b/a.", ""), ("s3://b", "")]
)
def test_the_suffix_is_that_of_the_file(uri: str, suffix: str) -> None:
    assert parse(uri).suffix == suffix


PIECES = [
    "/",
    "//",
    "..",
    ".",
    "%2e",
    "%2F",
    "%5c",
    "%25",
    "\\",
    "@",
    ":",
    "::",
    "?",
    "#",
    ";",
    " ",
    "-evil",
    "a",
    "x.ubj",
    "é",
    "\n",
    "[",
    "]",
]


@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join))
def test_no_addition_to_a_prefix_resolves_outside_it(addition: str) -> None:
    prefix = parse("https://h.example/models")
    try:
        inside = parse(f"https://h.example/models{addition}").within(prefix)
    except InvalidAddress:
        inside = False
    if inside:
        found = urlsplit(f"https://h.example/models{addition}")
        resolved = posixpath.normpath(unquote(unquote(found.path)))
        assert found.netloc == "h.example"
        assert f"{resolved}/".startswith("/models/")
