"""The steps of a scenario: read from a file, filled with the names of a side, and taken.

Steps build on each other: run the whole file. On a cluster (`-m e2e`) they have the requirements of tests/e2e.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from tests.differential.actions import ACTIONS
from tests.differential.comparison import Object
from tests.differential.sides import Side

_FOLDER = Path(__file__).parent
SCENARIOS = ("scenario.yaml", "eventing.yaml", "kafka.yaml")
_KAFKA_REFUSED = 'admission webhook "validation.webhook.kafka.eventing.knative.dev" denied the request: validation failed:'
_REFUSED = 'admission webhook "validation.webhook.{}.knative.dev" denied the request: validation failed:'


def steps_of(scenario: str) -> list[Object]:
    """The steps of a file."""
    steps: list[Object] = yaml.safe_load((_FOLDER / scenario).read_text("utf-8"))["steps"]
    return steps


def take(side: Side, step: Object) -> None:
    """Take a step on a side, and compare with what is expected of both sides, or of this one where they differ."""
    step = filled(step, side)
    expected = {**step["expect"], **step.get("differs", {}).get(side.name, {})}
    (kind,) = (kind for kind in ACTIONS if kind in step)
    ACTIONS[kind](side, step[kind], expected)


def filled(value: Any, side: Side) -> Any:
    """Replace what has another value on each side, and what is too long for each step.

    These are `<domain>`, `<namespace>`, `<image NAME>` and the `<kafka>` of the side, `<program NAME>` by the text of a module beside
    this one, and `<refused>`, `<eventing refused>` and `<kafka refused>` by the beginnings of a webhook's messages.
    """
    if isinstance(value, dict):
        return {filled(key, side): filled(item, side) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item, side) for item in value]
    if not isinstance(value, str):
        return value
    text = value.replace("<domain>", side.domain).replace("<namespace>", side.namespace)
    text = text.replace("<kafka>", side.kafka.bootstrap_servers if side.kafka else "")
    text = text.replace("<refused>", _REFUSED.format("serving")).replace("<eventing refused>", _REFUSED.format("eventing"))
    text = text.replace("<kafka refused>", _KAFKA_REFUSED)
    text = re.sub(r"<program (\w+)>", lambda match: (_FOLDER / f"{match[1]}.py").read_text("utf-8"), text)
    return re.sub(r"<image (\w+)>", lambda match: side.images.get(match[1], match[1]), text)
