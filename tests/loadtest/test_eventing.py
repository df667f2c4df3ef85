from __future__ import annotations

import re

import pytest

from loadtest import eventing


def test_latency_and_throughput_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--events", "40", "--connections", "4", "--runs", "1", "--single", "3", "--rate", "50"]

    assert eventing.main(options) == 0

    latency, throughput = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"latency at 50 events/s, 3 events: p50 [\d.]+ ms, p90 [\d.]+ ms, p99 [\d.]+ ms", latency)
    assert re.fullmatch(r"throughput with 4 senders: \d+ events/s, \d+ us of the gateway's processor time each", throughput)
