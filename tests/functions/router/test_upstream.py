from __future__ import annotations

from functions.router.upstream import Answer, passed_on


def test_what_belongs_to_one_connection_stays_behind() -> None:
    headers = [
        (b"Host", b"a"),
        (b"Connection", b"close, X-Own"),
        (b"x-own", b"1"),
        (b"Content-Length", b"3"),
        (b"CE-Id", b"7"),
        (b"a", b"1"),
    ]
    assert passed_on([*headers, (b"a", b"2")]) == [(b"ce-id", b"7"), (b"a", b"1"), (b"a", b"2")]


def test_an_answer_without_a_body_has_no_length() -> None:
    response = Answer(204, [(b"x", b"1"), (b"x", b"2")], b"").response("flights-00001")
    assert response.raw_headers == [(b"x", b"1"), (b"x", b"2"), (b"tidegate-revision", b"flights-00001")]
