from __future__ import annotations

import orjson

from loadtest.stream import report
from loadtest.stream.kills import Kept
from loadtest.stream.latency import Latency
from loadtest.stream.rates import Rate
from loadtest.stream.results import Results
from loadtest.stream.worker import Memory

RESULTS = Results(
    rates={
        "limit": [Rate(10_000, 75.4, 0.2, 0.1, 113 * 2**20)],
        "worker": [Rate(8_500, 86.0, 15.2, 0.1, 122 * 2**20)],
        "quix": [None],
    },
    latencies={"worker": Latency(19.97, 42.0, 0.31)},
    kept={"worker": Kept(kills=2, lost=0, doubled=300, seconds=61)},
    memory={"worker": Memory(1_000_000, 130 * 2**20, 2**19)},
    starts={"worker": [1.2, 1.4, 1.1]},
    failing_key={"worker": 0.97},
    notes=["Quix Streams failed."],
)


def test_tables_show_what_was_measured() -> None:
    text = "\n".join(report.lines(RESULTS))
    for row in (
        "| limit: one process, kafka-python | 10,000 | 10,000 to 10,000 | 1.00 | 75 / - / - | 113 |",
        "| stream worker, kafka-python | 8,500 | 8,500 to 8,500 | 0.85 | 86 / 15 / - | 122 |",
        "| Quix Streams, the model in its process | failed |  |  |  |  |",
        "| stream worker, kafka-python | 20.0 | 42.0 | 31% |",
        "| stream worker, kafka-python | 2 | 0 | 150 | 61 |",
        "| stream worker, kafka-python | 1,000,000 | 130 | 0.5 |",
        "| stream worker, kafka-python | 1.20 (1.10 to 1.40) |",
        "| worker / limit, kafka-python | at least 0.8 | 0.85 | met |",
        "| p50 | at most 25 ms | 20 ms | met |",
        "| worker / one event a request, kafka-python | at least 4 |  | not measured |",
        "- Quix Streams failed.",
    ):
        assert row in text


def test_parts_that_were_not_measured_have_no_table() -> None:
    assert "CPU" not in "\n".join(report.lines(Results()))


def test_document_has_the_figures_and_the_verdicts() -> None:
    found = orjson.loads(orjson.dumps(report.document(RESULTS, {"load": 1.5})))
    assert found["conditions"] == {"load": 1.5}
    assert found["rates"]["worker"][0]["own_us"] == 86.0
    assert {"bar": "p50", "limit": 25, "value": 19.97, "outcome": "met"} in found["bars"]
