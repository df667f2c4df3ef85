"""The examples of labels in docs/rollout.md are events that the rollout function takes, and its policy is the code's."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

from eventing.codecs import http
from eventing.codecs.http import Message, Mode
from eventing.event import Event
from eventing.label import Label, Request, from_event
from functions.rollout.evidence.predictions import MOST_EARLY, MOST_PREDICTIONS
from functions.rollout.policy import CorrectnessPolicy

PAGE = (Path(__file__).parents[2] / "docs/rollout.md").read_text("utf-8")
SECTION = re.search(r"^## Labels.*?(?=^## )", PAGE, re.MULTILINE | re.DOTALL)[0]  # type: ignore[index]


def block(language: str) -> str:
    return re.search(rf"^```{language}\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL)[1]  # type: ignore[index]


def test_the_command_sends_the_label_that_python_makes() -> None:
    words = iter(shlex.split(block("sh").replace("\\\n", " ")))
    options: dict[str, list[str]] = {}
    for word in words:
        if word.startswith("-"):
            options.setdefault(word, []).append(next(words))
    headers = dict(header.split(": ", 1) for header in options["-H"])
    (event,) = http.decode(Message(headers, options["-d"][0].encode()), Mode.BINARY)
    sent = from_event(event)

    names: dict[str, Event] = {}
    exec(block("python"), names)  # noqa: S102 an example of the documentation
    made = from_event(names["event"])
    assert (sent.model, sent.request, sent.value) == (made.model, made.request, 0.0)
    assert made == Label(model="flights", value=1.0, request=Request("/airline", "UA1545-2026-11-27"))


def test_the_data_names_one_prediction() -> None:
    event = Label(model="flights", value=0, prediction="a").to_event()
    label = from_event(Event(event.attributes, json.loads(block("json"))))
    assert label.prediction is not None
    fields = re.findall(r"^\| `(\w+)` \|", SECTION, re.MULTILINE)
    assert fields == ["prediction", "request", "key"]


def test_limits_and_fields_of_the_policy_are_those_of_the_code() -> None:
    assert f"At most {MOST_PREDICTIONS:,} keys are held" in SECTION
    assert f"among the last {MOST_EARLY} that matched nothing" in SECTION
    policy = PAGE[PAGE.index("## The policy of a rollout") :]
    for name in CorrectnessPolicy.model_json_schema(by_alias=True)["properties"]:
        assert re.search(rf"^\| `metrics\.correctness.*\b{name}\b", policy, re.MULTILINE), name
