from __future__ import annotations

import asyncio
import logging
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from common.logs import RedactingFormatter
from common.redaction import redact, redact_url
from eventing import deadletter
from eventing.codecs.kafka import Message
from functions.stream.settings import StreamSettings

SECRET = "S3cr3tValue"  # noqa: S105 planted
_INSIDE = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="\"'<>@&#;"), min_size=0, max_size=12)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://u:p@h:1/x", "http://***@h:1/x"),
        ("http://token@h", "http://***@h"),
        ("http://u:p@ss@h/x", "http://***@h/x"),
        ("http://u:pa/ss@h/x", "http://***@h/x"),
        ("http://u:pa?s#s@h/x", "http://***@h/x"),
        ("two: s3://k:s@b/x and kafka://u:p@h:9092.", "two: s3://***@b/x and kafka://***@h:9092."),
        ("https://h/p?a=1&sig=x%3D&b=2", "https://h/p?a=1&sig=***&b=2"),
        ("https://h/p?X-Amz-Signature=x&X-Amz-Date=y&n=1", "https://h/p?X-Amz-Signature=***&X-Amz-Date=***&n=1"),
        ("https://h/p?a=1;token=x;y&b=2", "https://h/p?a=1;token=***&b=2"),
        ("https://h/p#access_token=x", "https://h/p#access_token=***"),
        ("https://h/p?%74oken=x", "https://h/p?%74oken=***"),
        ("retries exceeded with url: /v1?api-key=x (Caused by …)", "retries exceeded with url: /v1?api-key=*** (Caused by …)"),
        ("x-api-key=abc,authorization=Bearer%20abc", "x-api-key=***,authorization=***"),
        ("Authorization: Bearer eyJhbGciOi.J9", "Authorization: Bearer ***"),
        ("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic ***"),
        ("the file s3:/k:s@b/x", "the file s3:/***@b/x"),
        ("PORT is 'u:p@host:1'", "PORT is '***@host:1'"),
        # Texts that only resemble credentials.
        (
            "registry:5000/team/flights:1@sha256:01 and flights:1@sha256:01",
            "registry:5000/team/flights:1@sha256:01 and flights:1@sha256:01",
        ),
        ("file:/models/m@v1", "file:/models/m@v1"),
        ("http://h:8080/models/m@v1?version=2", "http://h:8080/models/m@v1?version=2"),
        ("http://[::1]:8080/m@v1", "http://[::1]:8080/m@v1"),
        ("write to me@example.com, a basic thing", "write to me@example.com, a basic thing"),
        ("scale=1 of key=tail", "scale=1 of key=tail"),
        ("", ""),
    ],
)
def test_only_credentials_are_redacted(text: str, shown: str) -> None:
    assert redact(text) == shown
    assert redact(shown) == shown


@given(user=_INSIDE, password=_INSIDE, path=st.sampled_from(["", "/", "/models/flights", "/m?n=1"]))
def test_any_user_information_is_redacted(user: str, password: str, path: str) -> None:
    user = user.translate(str.maketrans("", "", "/:?#"))
    assume(not re.match(r"\d{1,5}[/?#]", password))  # by RFC 3986 that is a port, and user a host
    url = f"http://{user}:{password}{SECRET}@host:8080{path}"
    assert redact(url) == f"http://***@host:8080{path}"


@given(st.text(max_size=300))
def test_any_text_can_be_redacted(text: str) -> None:
    redact(text)
    assert redact_url(redact_url(text)) == redact_url(text)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("u:p@host/x", "***@host/x"),
        ("u:p@a:9092,u:p@b:9092", "***@b:9092"),
        ("SASL_SSL://u:p@a:9092", "SASL_SSL://***@a:9092"),
        ("a:9092,b:9092", "a:9092,b:9092"),
        ("router", "router"),
    ],
)
def test_address_without_a_scheme_is_redacted(value: str, shown: str) -> None:
    assert redact_url(value) == shown


def test_traceback_is_redacted() -> None:
    try:
        raise ValueError(f"cannot reach http://u:{SECRET}@h")
    except ValueError as error:
        record = logging.LogRecord(
            "x", logging.ERROR, "f", 1, "to %s", (f"http://h?token={SECRET}",), (ValueError, error, error.__traceback__)
        )
    text = RedactingFormatter("%(message)s").format(record)
    assert SECRET not in text
    assert text.startswith("to http://h?token=***\n")
    assert text.endswith("ValueError: cannot reach http://***@h")


@pytest.mark.parametrize("target", ["unreachable", "answers 500", "answers 400"])
async def test_worker_never_writes_its_sinks_credentials(
    target: str,
    settings: StreamSettings,
    launch: Callable[[StreamSettings], subprocess.Popen[str]],
    serve: Callable[..., Any],
    publish: Callable[[str, list[Message]], None],
    collect: Callable[..., list[Any]],
    flight: Callable[[int], Message],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from aiohttp import web

    async def answer(_: list[Any]) -> web.Response:
        return web.Response(status=int(target[-3:]), text=f"no entry with http://h/?sig={SECRET}")

    url = await serve(answer) if target != "unreachable" else settings.sink
    sink = url.replace("://", f"://user:{SECRET}@") + f"?sig={SECRET}&n=1"
    monkeypatch.setenv("TIDEGATE_STREAM_RETRY_SECONDS", "0.01")
    process = launch(replace(settings, sink=sink))
    # The second record is not an event.
    await asyncio.to_thread(publish, settings.input, [flight(1), Message(b"k", b"{", [])])
    letters = await asyncio.to_thread(collect, settings.deadletter, count=2)
    process.terminate()
    _, errors = await asyncio.to_thread(process.communicate, timeout=30)
    assert len(letters) == 2
    assert SECRET not in errors
    assert "http://***@" in errors
    for letter in letters:
        assert SECRET.encode() not in b"".join([letter.value, *(value for _, value in letter.headers)])
        destination = next(value for name, value in letter.headers if name.endswith("knativeerrordest"))
        assert destination == redact_url(sink).encode()
        assert SECRET not in deadletter.problem_of(letter.headers).detail


@pytest.mark.parametrize(
    "sink", [f"u:{SECRET}@router/m", f"ftp://u:{SECRET}@router", f"http://u:{SECRET}/x@router", f"//u:{SECRET}@router"]
)
def test_invalid_sink_is_reported_without_its_password(
    sink: str, settings: StreamSettings, launch: Callable[[StreamSettings], subprocess.Popen[str]]
) -> None:
    _, errors = launch(replace(settings, sink=sink)).communicate(timeout=30)
    assert "K_SINK" in errors
    assert SECRET not in errors


@pytest.mark.parametrize("part", ["//", "?a=b&", "a:b", "//a:", "http://u:", "x=;", "token", "bearer 1", "a@", "/a:"])
def test_redaction_takes_linear_time(part: str) -> None:
    """2 MB would take minutes in quadratic time."""
    redact(part * (2_000_000 // len(part)))
