from __future__ import annotations

import pytest

from tidegate.doctor.cluster import dryrun
from tidegate.doctor.cluster.client import Answer
from tidegate.doctor.finding import Level
from tidegate.documents import Document

DOCUMENT = Document("a.yaml", {"kind": "Service", "metadata": {"name": "flights"}})


@pytest.mark.parametrize(
    ("status", "sentence", "level", "remedy"),
    [
        (400, 'strict decoding error: unknown field "x"', Level.ERROR, "fix a.yaml"),
        (422, "spec.selector: Invalid value: field is immutable", Level.ERROR, "kubectl delete service/flights,"),
        (500, 'failed calling webhook "webhook.example.com": connection refused', Level.ERROR, "webhook.example.com"),
        (403, 'User "me" cannot patch resource "services"', Level.NOTE, ""),
    ],
)
def test_refused_dry_run_has_the_servers_message(status: int, sentence: str, level: Level, remedy: str) -> None:
    (found,) = dryrun.judge(DOCUMENT, Answer(status, {"message": sentence}))
    assert found.level is level
    assert sentence in found.message
    assert remedy in found.remedy


def test_warning_header_becomes_a_finding() -> None:
    (found,) = dryrun.judge(DOCUMENT, Answer(200, {}, ('299 - "default \\"x\\" is insecure"',)))
    assert (found.level, found.message) == (Level.WARNING, 'default "x" is insecure')
