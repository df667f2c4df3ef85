"""The commands on a real broker without a worker: what they print, change and refuse."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import threading
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import typer

from eventing.codecs.kafka import Message
from eventing.kafka.factory import cluster_of
from eventing.kafka.port import Broker, TopicPartition
from eventing.reply import Problem
from tests.fixtures.deadletters import Record, letter_of
from tidegate.commands.deadletters import app

Call = Callable[..., subprocess.CompletedProcess[str]]
Publish = Callable[[str, list[Message]], None]
Collect = Callable[..., list[Any]]
SECRET = b"Bearer eyJhbGciOi.c2VjcmV0"


def departed(number: int, source: str) -> Record:
    headers = [("ce_specversion", b"1.0"), ("ce_id", b"flight-%d" % number), ("ce_source", b"/airline"), ("ce_type", b"t")]
    return Record(b"N%d" % (number % 3), b'{"number":%d}' % number, headers, source, 0, number)


@pytest.fixture
def topic(publish: Publish, collect: Collect) -> str:
    """A topic of seven letters, of two reasons, and of one record that is none."""
    name = uuid.uuid4().hex[:8]
    source, letters = f"departed-{name}", f"deadletter-{name}"
    collect(source, count=0)  # which creates it
    odd = replace(departed(6, source), value=b"\xff\x00", headers=[*departed(6, source).headers, ("authorization", SECRET)])
    timed_out = Problem(504, "timed out", "http://u:secret@m did not answer\x1b[31m.", {"model": "flights"})
    found = [letter_of(departed(number, source)) for number in range(6)] + [letter_of(odd, timed_out)]
    publish(letters, [*found, Message(b"k", b"a note", [])])
    return letters


def ends(broker: Broker, topic: str) -> int:
    consumer = cluster_of(broker).consumer()
    try:
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for(topic)]
        return sum(consumer.end_offsets(partitions).values())
    finally:
        consumer.close()


def test_list_counts_by_reason_and_shows_the_oldest(deadletters: Call, topic: str) -> None:
    done = deadletters("list", topic, "--limit", "2")
    assert done.returncode == 0, done.stderr
    assert f"{topic}: 7 open of 7 letters read; 1 other records" in done.stdout
    assert re.search(r"6 +400 +invalid input +the input carrier is 'ZZ'", done.stdout), done.stdout
    assert re.search(r"^\d:\d+ +20\S+Z +400 invalid input +flight-\d +N\d", done.stdout, re.MULTILINE), done.stdout
    assert len(re.findall(r"^\d:\d+ ", done.stdout, re.MULTILINE)) == 2
    assert "secret" not in done.stdout + done.stderr
    assert "\x1b" not in done.stdout
    found = json.loads(deadletters("list", topic, "--json", "--reason", "400", "--key", "N1").stdout)
    assert (found["read"], found["open"], found["other_records"]) == (7, 2, 1)
    assert [(reason["status"], reason["count"]) for reason in found["reasons"]] == [(400, 2)]
    assert {(letter["id"], letter["key"], letter["state"]) for letter in found["letters"]} == {
        ("flight-1", "N1", "open"),
        ("flight-4", "N1", "open"),
    }


def test_list_may_be_empty(deadletters: Call, topic: str) -> None:
    done = deadletters("list", topic, "--until", "1d")
    assert (done.returncode, done.stdout) == (0, f"{topic}: no letter of 7 letters read; 1 other records\n")


def test_show_has_the_reason_the_origin_the_event_and_no_secret(deadletters: Call, topic: str) -> None:
    found = json.loads(deadletters("show", topic, "flight-4", "--json").stdout)
    assert (found["problem"]["detail"], found["problem"]["model"]) == ("the input carrier is 'ZZ'.", "flights")
    assert found["origin"] == {"topic": topic.replace("deadletter", "departed"), "partition": 0, "offset": 4}
    assert (found["attributes"]["source"], found["data"], found["key"], found["state"]) == ("/airline", '{"number":4}', "N1", "open")
    by_address = json.loads(deadletters("show", topic, f"{found['partition']}:{found['offset']}", "--json").stdout)
    assert by_address == found
    odd = deadletters("show", topic, "flight-6", "--json")
    assert json.loads(odd.stdout)["data_hex"] == "ff00"
    text = deadletters("show", topic, "flight-6")
    assert text.returncode == 0, text.stderr
    for words in (
        "reason +504 timed out: ",
        "origin +departed-",
        "header ce_id +flight-6",
        "^ff00$",
        r"header authorization +\*\*\*",
        "not an",
    ):
        assert re.search(words, text.stdout, re.MULTILINE), (words, text.stdout)
    for printed in (odd.stdout, text.stdout):
        assert "c2VjcmV0" not in printed
        assert "u:secret" not in printed.replace("knativeerror", "")
        assert "\x1b" not in printed


def test_dry_run_counts_and_changes_nothing(deadletters: Call, topic: str, broker: Broker) -> None:
    before = ends(broker, topic)
    for command in ("replay", "discard"):
        found = json.loads(deadletters(command, topic, "--dry-run", "--reason", "504", "--reason", "carrier", "--json").stdout)
        assert (found["selected"], [reason["count"] for reason in found["reasons"]]) == (7, [6, 1])
        assert "nothing was changed" in deadletters(command, topic, "--dry-run").stdout
    assert ends(broker, topic) == before
    assert ends(broker, topic.replace("deadletter", "departed")) == 0


def test_discarded_letters_are_listed_by_all_alone(deadletters: Call, topic: str) -> None:
    unconfirmed = deadletters("discard", topic)
    assert unconfirmed.returncode == 2
    assert "there is no terminal to ask at; confirm with --yes" in unconfirmed.stderr
    done = deadletters("discard", topic, "--reason", "504", "--yes")
    assert (done.returncode, done.stdout) == (0, f"1 letters of {topic} discarded\n")
    assert "flight-6" not in deadletters("list", topic).stdout
    assert re.search(r"discarded +504 timed out +flight-6", deadletters("list", topic, "--all").stdout)
    assert json.loads(deadletters("replay", topic, "--json").stdout)["replayed"] == 6


def test_discard_asks_at_a_terminal(deadletters: Call, topic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    answers = iter([False, True])

    def confirm(question: str, **_: object) -> bool:
        asked.append(question)
        return next(answers)

    monkeypatch.setattr(typer, "confirm", confirm)
    for status, left in ((1, 7), (0, 0)):
        assert deadletters("discard", topic).returncode == status
        assert json.loads(deadletters("list", topic, "--json").stdout)["open"] == left
    assert asked == [f"Discard 7 letters of {topic}?"] * 2


def test_replayed_record_is_as_it_was_with_a_mark(
    deadletters: Call, topic: str, collect: Collect, caplog: pytest.LogCaptureFixture
) -> None:
    done = deadletters("replay", topic, "--id", "flight-6")
    assert done.returncode == 0, done.stderr
    assert "7 letters read, 1 selected, 1 replayed to the topics they came from" in done.stdout
    assert "results were not waited for; --wait SECONDS counts them" in done.stdout
    assert "no worker of tidegate-flights reads departed-" in caplog.text
    (record,) = collect(topic.replace("deadletter", "departed"), count=1)
    assert (record.key, record.value) == (b"N0", b"\xff\x00")
    headers = dict(record.headers)
    assert headers["authorization"] == SECRET
    assert headers["ce_id"] == b"flight-6"
    assert headers["tidegate_replay"].startswith(headers["ce_deadletterreplay"] + b"/" + topic.encode())


def test_interrupt_ends_in_order_with_the_account(deadletters: Call, topic: str, collect: Collect) -> None:
    def interrupt() -> None:
        collect(topic.replace("deadletter", "departed"), count=1)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    done = deadletters("replay", topic, "--rate", "0.1", "--json")  # more than a minute, unless it is stopped
    thread.join()
    assert done.returncode == 130
    assert "finishing what is in flight" in done.stderr
    account = json.loads(done.stdout)
    assert (account["replayed"], account["left"], account["interrupted"]) == (1, 6, True)
    assert json.loads(deadletters("list", topic, "--json").stdout)["open"] == 6


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["list", "nowhere"], r"no topic nowhere at 127.0.0.1:\d+; check its name"),
        (["list", "TOPIC", "--bootstrap-servers", "127.0.0.1:1"], "no Kafka broker answers at 127.0.0.1:1"),
        (["list", "TOPIC", "--since", "soon"], "--since is 'soon', which is no time"),
        (["show", "TOPIC", "0:999999"], "TOPIC has no letter 0:999999; see"),
        (["show", "TOPIC", "nothing"], "TOPIC has no letter nothing; see"),
        (["replay", "TOPIC", "--reason", "418"], "no open letter of TOPIC matches; see `tidegate deadletters list TOPIC --all`"),
        (["discard", "TOPIC", "--yes", "--key", "N9"], "no open letter of TOPIC matches"),
        (
            ["replay", "TOPIC", "--wait", "1", "--state-dir", "elsewhere", "--bootstrap-servers", "127.0.0.1:1"],
            "no stream here writes the dead letters TOPIC; name the topic of the model's replies with --output",
        ),
    ],
)
def test_error_is_one_sentence(arguments: list[str], sentence: str, deadletters: Call, topic: str) -> None:
    done = deadletters(*(topic if word == "TOPIC" else word for word in arguments))
    assert done.returncode == 1
    assert done.stdout == ""
    assert re.search(f"^tidegate: .*{sentence.replace('TOPIC', topic)}", done.stderr, re.MULTILINE), done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--model", "flights", "--through", "http://m"], "--through and --model exclude each other"),
        (["--through", "router/models/flights"], "'router/models/flights' is no URL; write http://router/models/NAME"),
        (["--rate", "0"], "--rate"),
        (["--limit", "none"], "--limit"),
    ],
)
def test_wrong_usage_has_exit_status_2(options: list[str], sentence: str, deadletters: Call) -> None:
    done = deadletters("replay", "flights.deadletter", *options)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "`tidegate deadletters replay --help`" in done.stderr


@pytest.mark.parametrize("command", [command.name or getattr(command.callback, "__name__", "") for command in app.registered_commands])
def test_every_command_has_help_and_a_variable_for_each_option(command: str, deadletters: Call) -> None:
    shown = deadletters(command, "--help").stdout
    options = set(re.findall(r"^\s+(?:-\w, )?--([a-z][a-z-]+)", shown, re.MULTILINE)) - {"help"}
    assert options
    assert len(re.findall(r"env var: +TIDEGATE_\w+", " ".join(shown.split()))) == len(options)
