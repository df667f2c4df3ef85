"""The state of a rollout, as a value. Its text form is in functions/rollout/codec.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from eventing.distinct import RELATIVE_ERROR, Distinct
from eventing.outcome import BAD_OUTCOMES, ArmOutcome
from functions.rollout.evidence.comparison import Comparison
from functions.rollout.evidence.correctness import Correctness
from functions.rollout.evidence.drift import Drift
from functions.rollout.evidence.proportion import Disagreement
from functions.rollout.routers import Ignored, Routers
from functions.runtime.observability.histogram import LATENCIES

MOST_DECISIONS = 8
MOST_COUNT = 2**53
"""Counts for display stay there: a JSON number that every reader has exactly."""


class Kind(Enum):
    """What a rollout does next."""

    NONE = "none"
    """Nothing yet: the step is not complete, or the rollout is over."""
    ADVANCE = "advance"
    HOLD = "hold"
    """The step is complete, but the canary keeps its percentage, for a reason that a person should know."""
    PROMOTE = "promote"
    ROLL_BACK = "roll-back"
    INCONCLUSIVE = "inconclusive"
    """The deadline has passed. `percent` is what the policy wants then."""


class Phase(Enum):
    RUNNING = "running"
    INCONCLUSIVE = "inconclusive"
    """The deadline has passed and the canary keeps its percentage; it is still rolled back if it fails."""
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled-back"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do, with the evidence for it."""

    kind: Kind
    sentence: str
    """For a person: what is done and why."""
    percent: int
    """The canary's percentage after it."""
    phase: Phase = Phase.RUNNING
    """Of the rollout after it."""
    metric: str = ""
    """What the decision is about: `errors`, `rejections`, `slow`, `drift`, `disagreement`, `correctness`, or a rule of the policy."""
    e_value: float = 1.0
    threshold: float = 0.0
    """What the e-value was compared with; 0 if the decision is not about evidence."""
    counts: Mapping[str, int] = field(default_factory=dict)
    at: float = 0.0
    """Seconds since 1970."""


@dataclass(frozen=True, slots=True)
class ArmCounts:
    """Sums of what routers reported of an arm, for display. No decision depends on them."""

    requests: int = 0
    errors: int = 0
    rejections: int = 0
    slow: int = 0
    cold: int = 0
    forced: int = 0
    latencies: tuple[int, ...] = (0,) * (len(LATENCIES) + 1)

    def add(self, arm: ArmOutcome) -> ArmCounts:
        return ArmCounts(
            requests=_sum(self.requests, arm.requests),
            errors=_sum(self.errors, arm.errors),
            rejections=_sum(self.rejections, arm.rejections),
            slow=_sum(self.slow, arm.slow),
            cold=_sum(self.cold, arm.cold),
            forced=_sum(self.forced, arm.forced),
            latencies=tuple(map(_sum, self.latencies, arm.latencies)) if len(arm.latencies) == len(self.latencies) else self.latencies,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A rollout from its start to its end.

    Time is counted while the function looks: `elapsed` grows by the time since the last look, and by a few minutes at most.
    So a clock that jumps ends no step and no rollout.
    """

    rollout: str
    """The name by which keys are assigned: the annotation `tidegate.dev/rollout`."""
    model: str
    stable: str
    """The name of the revision, like `canary`."""
    canary: str
    percent: int
    """The canary's percentage that the current step asks for. At 0 it is a shadow: it gets copies of requests."""
    started: float
    clock: float
    """The time of the last look."""
    elapsed: float = 0.0
    step_elapsed: float = 0.0
    phase: Phase = Phase.RUNNING
    approved: int = 0
    """A person has approved of going beyond this percentage."""
    comparisons: Mapping[str, Comparison] = field(default_factory=lambda: {name: Comparison() for name in BAD_OUTCOMES})
    drift: Drift = field(default_factory=Drift)
    disagreement: Disagreement = field(default_factory=Disagreement)
    correctness: Correctness = field(default_factory=Correctness)
    stable_keys: Distinct = field(default_factory=Distinct)
    canary_keys: Distinct = field(default_factory=Distinct)
    step_keys: Distinct = field(default_factory=Distinct)
    """Keys of the canary in windows that had the percentage of the current step."""
    failed_keys: Distinct = field(default_factory=Distinct)
    """Keys of the canary with an error."""
    unlisted: int = 0
    """Errors of the canary whose keys did not fit into an outcome."""
    stable_counts: ArmCounts = ArmCounts()
    canary_counts: ArmCounts = ArmCounts()
    routers: Routers = field(default_factory=Routers)
    ignored: Mapping[Ignored, int] = field(default_factory=lambda: dict.fromkeys(Ignored, 0))
    decisions: tuple[Decision, ...] = ()
    """The last ones, the latest at the end; repetitions are left out."""

    @property
    def running(self) -> bool:
        return self.phase in (Phase.RUNNING, Phase.INCONCLUSIVE)

    @property
    def exposed_keys(self) -> int:
        """Keys that the canary had, as an estimate that is rather too low."""
        return lower(self.canary_keys)

    @property
    def exposed_keys_of_step(self) -> int:
        return lower(self.step_keys) if self.percent else self.disagreement.pairs

    @property
    def failed(self) -> int:
        """Keys that had an error from the canary, as an estimate that is rather too high."""
        return upper(self.failed_keys) + self.unlisted


def start(*, rollout: str, model: str, stable: str, canary: str, percent: int, now: float) -> State:
    """A rollout that begins with this percentage."""
    return State(rollout=rollout, model=model, stable=stable, canary=canary, percent=percent, started=now, clock=now)


def approve(state: State, percent: int) -> State:
    """A person has approved that the canary gets more than this percentage."""
    return replace(state, approved=max(state.approved, percent))


def lower(keys: Distinct) -> int:
    """The estimated number of keys minus two standard errors."""
    return int(len(keys) * (1 - 2 * RELATIVE_ERROR))


def upper(keys: Distinct) -> int:
    """The estimated number of keys plus two standard errors."""
    return -int(-len(keys) * (1 + 2 * RELATIVE_ERROR) // 1)


def _sum(left: int, right: int) -> int:
    return min(left + right, MOST_COUNT)
