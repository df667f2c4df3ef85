from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from loadtest.compare import rounds
from loadtest.compare.model import Requests, Trained
from loadtest.compare.processes import Process, ServerFailed
from loadtest.compare.scenarios import Scenario, Subject
from loadtest.compare.servers import Ready, Server, StartMethod

_TRAINED = Trained(Path(), Path(), Requests((), (), (), (), ()))
Measure = Callable[[str], Mapping[str, float]]


class _Ready(Ready):
    @contextmanager
    def start(self, trained: Trained) -> Iterator[Process]:
        if self.server.name == "broken":
            raise ServerFailed("it ended")
        yield Process(0, 0, 0.0)


def _ready(name: str) -> Ready:
    return _Ready(Server(name, name, (), (), ()), Path(), StartMethod(lambda python, trained, port: []), False, Path())


def _measured(names: str, scenarios: dict[str, Measure], count: int) -> rounds.Rounds:
    result = rounds.Rounds()

    def by_name(measure: Measure) -> Callable[[Subject], Mapping[str, float]]:
        return lambda subject: measure(subject.ready.server.name)

    listed = [Scenario(name, name, "", "rate", by_name(measure)) for name, measure in scenarios.items()]
    rounds.measure([_ready(name) for name in names.split()], _TRAINED, listed, count, 1.0, lambda line: None, result)
    return result


def test_every_round_begins_with_another_server() -> None:
    visits: list[str] = []

    def visit(scenario: str) -> Measure:
        def measure(server: str) -> Mapping[str, float]:
            visits.append(f"{scenario}:{server}")
            return {"rate": 1.0}

        return measure

    _measured("a b", {"one": visit("one"), "two": visit("two")}, 2)
    assert visits == ["one:a", "one:b", "two:a", "two:b", "one:b", "one:a", "two:b", "two:a"]


def test_failed_server_is_left_out_of_later_rounds() -> None:
    calls: list[str] = []

    def measure(server: str) -> Mapping[str, float]:
        calls.append(server)
        if server == "b" and calls.count("b") == 2:
            raise ServerFailed("it died")
        return {"rate": 1.0}

    result = _measured("a b broken", {"one": measure}, 3)
    assert (calls.count("a"), calls.count("b"), calls.count("broken")) == (3, 2, 0)
    assert result.failed == {"b": "one: it died", "broken": "it ended"}
    assert len(result.values("one", "b", "rate")) == 1


def test_ratio_is_the_median_of_the_rounds() -> None:
    # The machine was ten times slower in the second round: the ratio of the medians would be 30.
    figures = {"one": {"a": [{"rate": 300.0}, {"rate": 30.0}, {"rate": 3_000.0}], "b": [{"rate": 100.0}, {"rate": 10.0}, {"rate": 10.0}]}}
    measured = rounds.Rounds({scenario: {name: list(entries) for name, entries in found.items()} for scenario, found in figures.items()})
    assert measured.ratio("one", "a", "b", "rate") == 3
    assert measured.median("one", "a", "rate") == 300
    assert measured.ratio("one", "a", "missing", "rate") is None
