"""The policy of a rollout, from the annotations of its Knative Service."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, time, tzinfo
from itertools import pairwise
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from functions.rollout.errors import InvalidPolicy
from functions.runtime.knative.traffic import LATENCY_SLO, latency_slo_of

POLICY = "tidegate.dev/rollout-policy"
"""The annotation with the policy, as YAML or JSON. Every field has a default."""
_MOST_CHARACTERS = 8_192
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)(ms|s|m|h|d)")
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MINUTES_OF_A_DAY = 24 * 60

Then = Literal["hold", "roll-back"]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def _seconds(value: object) -> float:
    """The seconds of `10m`, `1.5h` or a plain number of seconds."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e9:
        return float(value)
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise PydanticCustomError("duration", "must be a duration such as 30s, 10m, 24h or 7d")
    return float(match[1]) * _UNITS[match[2]]


def _time_of_day(value: object) -> time:
    """The time of `09:00`. YAML 1.1 reads 17:00 without quotes as a number to base 60, which is its minutes."""
    if type(value) is int and 0 <= value < _MINUTES_OF_A_DAY:
        return time(*divmod(value, 60))
    if isinstance(value, str) and re.fullmatch(r"([01]?\d|2[0-3]):[0-5]\d", value):
        hours, minutes = value.split(":")
        return time(int(hours), int(minutes))
    raise PydanticCustomError("time", "must be a time of day such as 09:00")


Duration = Annotated[float, BeforeValidator(_seconds)]
TimeOfDay = Annotated[time, BeforeValidator(_time_of_day)]


class _Model(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, alias_generator=to_camel, validate_by_name=True, validate_by_alias=True
    )


class Tolerance(_Model):
    """A comparison of a bad outcome's rate in the canary with that in the others."""

    tolerated_ratio: float = Field(default=1.0, ge=1, le=100)
    """The ratio of the rates up to which the canary is good enough."""


class DriftPolicy(_Model):
    """What to do when the canary's scores are distributed differently. It may be meant, so it holds by default."""

    then: Then = "hold"


class DisagreementPolicy(_Model):
    """What to do when the shadow's answers differ too often."""

    tolerated: float = Field(default=0.02, gt=0, lt=1)
    """The share of keys that may get a different answer."""
    then: Then = "hold"


class CorrectnessPolicy(_Model):
    """What to do when the canary's predictions come true less often, by the labels that arrive."""

    loss: Literal["log", "absolute"] = "log"
    """Log loss of a probability, with labels that are 0 or 1; or the absolute error of a number."""
    then: Then = "roll-back"
    minimum_labels: int = Field(default=0, ge=0, le=1_000)
    """Labelled keys of the canary, at least, before it is promoted."""
    must_improve: bool = False
    """A promotion needs evidence that the canary is better."""


class Metrics(_Model):
    """What is compared. `false` switches a metric off."""

    errors: Tolerance | None = Tolerance()
    rejections: Tolerance | None = Tolerance()
    slow: Tolerance | None = Tolerance(tolerated_ratio=1.5)
    """Compared if there is a latency SLO. A canary has few replicas, with caches that are less warm."""
    drift: DriftPolicy | None = DriftPolicy()
    disagreement: DisagreementPolicy | None = DisagreementPolicy()
    correctness: CorrectnessPolicy | None = CorrectnessPolicy()

    @field_validator("*", mode="before")
    @classmethod
    def _switch(cls, value: object) -> object:
        return None if value is False else {} if value is True else value


class Hours(_Model):
    """The hours in which a canary may get more traffic. It loses traffic at any time."""

    timezone: str
    days: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri")
    start: TimeOfDay = Field(default=time(9), alias="from")
    end: TimeOfDay = Field(default=time(17), alias="to")

    @field_validator("days", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value

    @field_validator("timezone")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise PydanticCustomError("timezone", "must be a name of the time zone database, such as Europe/Berlin") from None
        return value

    @model_validator(mode="after")
    def _in_order(self) -> Hours:
        if not self.days:
            raise PydanticCustomError("hours", "must have at least one day")
        if self.start >= self.end:
            raise PydanticCustomError("hours", "must have a time `from` before the time `to` of the same day")
        return self

    def __contains__(self, now: float) -> bool:
        zone: tzinfo = ZoneInfo(self.timezone)
        local = datetime.fromtimestamp(now, zone)
        return _DAYS[local.weekday()] in self.days and self.start <= local.time() < self.end

    def __str__(self) -> str:
        return f"{', '.join(self.days)} from {self.start:%H:%M} to {self.end:%H:%M}, {self.timezone}"


class Policy(_Model):
    """How a canary gets traffic, and what it has to show for it."""

    steps: tuple[Annotated[int, Field(ge=0, le=100)], ...] = (5, 20, 50, 100)
    """The canary's percentages. At 0 it is a shadow, which gets copies of requests. The step to
    100 promotes it; without it, a person does."""
    minimum_keys: int = Field(default=100, ge=1, le=1_000_000_000)
    """Keys of the canary, at least, before a step ends: an estimate that is rather too low."""
    minimum_duration: Duration = 600.0
    """Seconds of a step, at least."""
    metrics: Metrics = Metrics()
    alpha: float = Field(default=0.01, gt=0, le=0.5)
    """The probability, at most, that a canary as good as the others is rolled back at any time."""
    beta: float = Field(default=0.05, gt=0, le=0.5)
    """The probability, at most, that a canary that fails more keys than `maximum_errors` is promoted at any time."""
    maximum_errors: float | None = Field(default=0.05, gt=0, lt=1)
    """The share of keys with an error that a canary has to be shown to stay below; `null` promotes without."""
    deadline: Duration = 86_400.0
    """Seconds until a rollout without a decision is inconclusive."""
    at_deadline: Literal["hold", "roll-back", "promote"] = "hold"
    pause_at: tuple[Annotated[int, Field(ge=0, le=99)], ...] = ()
    """Percentages at which the canary stays until a person approves of more."""
    paused: bool = False
    """The canary gets no more traffic for now; it is still rolled back if it fails."""
    hours: Hours | None = None
    """When the canary may get more traffic; at any time by default."""
    latency_slo: float | None = Field(default=None, exclude=True)
    """Seconds, from the annotation LATENCY_SLO."""

    @field_validator("steps", "pause_at", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value

    @field_validator("steps")
    @classmethod
    def _increasing(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or len(value) > 100 or any(after <= before for before, after in pairwise(value)):
            raise PydanticCustomError("steps", "must be percentages that increase, such as [5, 20, 50, 100]")
        if value[0] == 100:
            raise PydanticCustomError("steps", "must begin below 100, since nothing can be compared with a canary that has all traffic")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Policy:
        unknown = [percent for percent in self.pause_at if percent not in self.steps]
        if unknown:
            raise PydanticCustomError("pause", "pauseAt has {percent}, which is not one of the steps", {"percent": unknown[0]})
        shortest = self.minimum_duration * len([step for step in self.steps if step < 100])
        if self.deadline <= shortest:
            raise PydanticCustomError("deadline", "deadline must be longer than all steps together, which take at least {shortest} s",
                                      {"shortest": f"{shortest:g}"})  # fmt: skip
        return self

    def next_step(self, percent: int) -> int | None:
        """The percentage after this one; None after the last."""
        return next((step for step in self.steps if step > percent), None)

    @property
    def compared(self) -> dict[str, Tolerance]:
        """The bad outcomes that are compared, by name. It is fixed while a rollout goes on, as far as the annotations are."""
        metrics = {"errors": self.metrics.errors, "rejections": self.metrics.rejections}
        if self.latency_slo is not None:
            metrics["slow"] = self.metrics.slow
        return {name: tolerance for name, tolerance in metrics.items() if tolerance is not None}


def policy_of(annotations: Mapping[str, str] | None, *, source: str = POLICY) -> Policy:
    """The policy of a Knative Service by its annotations. Raises InvalidPolicy, naming where the policy is from."""
    annotations = annotations or {}
    fields = _parse(annotations.get(POLICY, ""), source)
    if "latencySlo" in fields or "latency_slo" in fields:
        raise InvalidPolicy(
            f"{source}: latencySlo is not a field of it", remedy=f"use the annotation {LATENCY_SLO}, which the router reads too"
        )
    try:
        policy = Policy.model_validate(fields)
    except ValidationError as error:
        raise _invalid(error, source) from None
    slo = annotations.get(LATENCY_SLO)
    return policy if slo is None else policy.model_copy(update={"latency_slo": _latency_slo(slo)})


def _latency_slo(text: str) -> float:
    seconds = latency_slo_of(text)
    if seconds is None:
        raise InvalidPolicy(f"{LATENCY_SLO}: {text[:40]!r} is not a duration above zero", remedy="write one such as 250ms or 2s")
    return seconds


def _parse(text: str, source: str) -> dict[str, Any]:
    if len(text) > _MOST_CHARACTERS:
        raise InvalidPolicy(f"{source}: the text has more than {_MOST_CHARACTERS} characters", remedy="shorten it")
    try:
        fields = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise InvalidPolicy(f"{source}: the text is neither YAML nor JSON{where}", remedy="correct it") from None
    if fields is None:
        return {}
    if not isinstance(fields, dict) or not all(isinstance(name, str) for name in fields):
        raise InvalidPolicy(f"{source}: the text must be a mapping of fields", remedy="write it like steps: [5, 20, 100]")
    return fields


# From pydantic's terms to those of YAML.
_TERMS = (
    (r"Input should be ", "must be "),
    (r"Extra inputs are not permitted", "is not a field of it"),
    (r"Field required", "is missing"),
    (r"valid dictionary or instance of \w+", "mapping, true or false"),
    (r"valid tuple", "list"),
)


def _invalid(error: ValidationError, source: str) -> InvalidPolicy:
    """The first thing that is wrong, with the name of its field."""
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    problem = first["msg"]
    for pattern, words in _TERMS:
        problem = re.sub(pattern, words, problem)
    return InvalidPolicy(f"{source}: {field} {problem}" if field else f"{source}: {problem}", remedy="correct it")
