"""The job of a way: where it reads, what it calls, and where it writes."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, fields

JARS = "FLINK_CONNECTOR_JARS"
"""The folder with Flink's connector."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run of a way."""

    servers: str
    input: str
    output: str
    group: str
    model: str
    """The folder of the model."""
    sink: str
    """The URL to which events are posted."""
    state: str
    """A folder of its own, which a restart finds as it was."""

    def arguments(self) -> list[str]:
        return [part for field in fields(self) for part in (f"--{field.name}", getattr(self, field.name))]


def parse(choices: Sequence[str], arguments: Sequence[str] | None = None) -> tuple[str, Job]:
    """Read the choice of a program and its job from the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("choice", choices=choices)
    for field in fields(Job):
        parser.add_argument(f"--{field.name}", required=True)
    given = vars(parser.parse_args(arguments))
    return given.pop("choice"), Job(**given)


def deadletter_of(output: str) -> str:
    """Return the topic for the dead letters of a run."""
    return f"{output}.deadletter"
