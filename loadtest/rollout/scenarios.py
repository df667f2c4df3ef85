"""The simulated rollouts: in all but the last two tables, the canary is exactly as good as the stable revision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from eventing.outcome import BAD_OUTCOMES
from functions.rollout.policy import Policy
from loadtest.rollout.simulation import CORRECTNESS_ONLY, ERRORS_ONLY, Scenario, correctness_only
from loadtest.rollout.traffic import Outcomes, Traffic

_STICKY = {"keys": 2_000, "tail": 1.2, "spread": 0.5}
_WINDOWS = 30
_ALL_METRICS = Policy.model_validate({"metrics": {"drift": {"then": "roll-back"}, "disagreement": False, "correctness": False}}).model_copy(
    update={"latency_slo": 0.25}
)
_BY_DECISIONS = ERRORS_ONLY.model_copy(update={"minimum_duration": 6.0, "minimum_keys": 50, "maximum_errors": None})


def _traffic(**changes: object) -> Traffic:
    return Traffic(**{"windows": _WINDOWS, **changes})  # type: ignore[arg-type]  # fields of Traffic


EQUAL_ARMS = (
    Scenario(name="20% throughout", traffic=_traffic(), ramp=(20,)),
    Scenario(name="ramp 5, 20, 50%", traffic=_traffic()),
    Scenario(name="ramp; the rate of errors grows tenfold", traffic=_traffic(rate=0.01, growth=10.0)),
    Scenario(name="ramp; sticky keys with a heavy tail, errors correlated within a key", traffic=_traffic(**_STICKY)),
    Scenario(name="the same; the rate of errors grows tenfold", traffic=_traffic(**_STICKY, rate=0.01, growth=10.0)),
    Scenario(
        name="the same; errors, rejections, slow responses and drift, which depend on each other",
        traffic=_traffic(**_STICKY, requests=150, metrics=BAD_OUTCOMES, scores=True),
        policy=_ALL_METRICS,
    ),
    Scenario(name="ramp; thinning, with 2,700 keys that have errors", traffic=_traffic(rate=0.3, windows=20, requests=450)),
    Scenario(
        name="ramp; three routers, 30% of outcomes delivered again, disorder, and a restart every third window",
        traffic=_traffic(**_STICKY, routers=3, windows=12, requests=600),
        duplicates=0.3,
        restart=3,
    ),
    Scenario(
        name="steps by the function's own decisions",
        traffic=_traffic(**_STICKY, requests=200, sketches=True),
        policy=_BY_DECISIONS,
        ramp=(),
    ),
)


def _labelled(name: str, *, traffic: Mapping[str, object] | None = None, loss: str = "log", **outcomes: object) -> Scenario:
    """Equal arms of which half of the requests get labels late, a fifth of those twice, and the others never."""
    found = Outcomes(**outcomes)  # type: ignore[arg-type]  # fields of Outcomes
    options = {"windows": 10, "requests": 60, "metrics": (), "outcomes": found, **(traffic or {})}
    return Scenario(name=name, traffic=_traffic(**options), policy=correctness_only(loss))


EQUAL_LOSSES = (
    replace(_labelled("correctness: 20% throughout, a key for each request"), ramp=(20,)),
    _labelled("correctness: ramp; sticky keys with a heavy tail", traffic=_STICKY),
    _labelled("the same; what happens becomes more frequent, from 5 to 50%", traffic=_STICKY, base=0.05, last=0.5),
    _labelled("the same; labels up to 8 of 10 windows late", traffic=_STICKY, base=0.05, last=0.5, delay=8),
    _labelled("the same; by absolute error", traffic=_STICKY, base=0.05, last=0.5, delay=8, loss="absolute"),
    replace(
        _labelled(
            "correctness: ramp; sticky keys; three routers, 30% of outcomes delivered again, disorder, restarts",
            traffic={**_STICKY, "routers": 3},
        ),
        duplicates=0.3,
        restart=3,
    ),
    _labelled("correctness: ramp; thinning, with 2,000 keys", traffic={"requests": 200}),
)

EQUALLY_CORRECT = replace(EQUAL_LOSSES[3], name="evidence that a canary is more correct, which is not")

DRIFT = Scenario(
    name="drift alone: sticky keys, ramp",
    traffic=_traffic(**_STICKY, requests=150, scores=True),
    policy=Policy.model_validate({"metrics": {"errors": False, "rejections": False, "disagreement": False, "correctness": False}}),
)
"""Its alarms hold the canary by default."""

BETTER = Scenario(
    name="a canary with half the errors, where most keys have errors in the end", traffic=_traffic(keys=400, tail=0.5, rate=0.1, ratio=0.5)
)

AS_IF_INDEPENDENT = Scenario(name="for comparison: each error counted, not each key", traffic=_traffic(**_STICKY, every_request=True))

PROMOTION = Scenario(
    name="a canary that fails exactly as many keys as it must stay below",
    traffic=_traffic(requests=100, windows=20, rate=0.01, sketches=True),
    policy=ERRORS_ONLY.model_copy(update={"maximum_errors": 0.01}),
    ramp=(50,),
)


def detection(ratio: float, *, requests: int, windows: int) -> Scenario:
    """A canary with 20% of the keys whose errors are `ratio` times 1%."""
    traffic = Traffic(windows=windows, requests=requests, rate=0.01, ratio=ratio)
    return Scenario(name=f"{ratio:g} times", traffic=traffic, policy=ERRORS_ONLY, ramp=(20,))


def wrong(name: str, *, requests: int, windows: int, **outcomes: float) -> Scenario:
    """A canary with 20% of the keys that answers without errors, but predicts worse."""
    found = Outcomes(delay=1_000 // requests, **outcomes)
    traffic = Traffic(windows=windows, requests=requests, rate=0.01, outcomes=found)
    return Scenario(name=name, traffic=traffic, policy=CORRECTNESS_ONLY, ramp=(20,))


WRONG = (
    wrong("scores of other keys", requests=20, windows=250, skill=0.0),
    wrong("odds 4.5 times too high", requests=20, windows=250, shift=1.5),
    wrong("the opposite score", requests=10, windows=200, skill=-1.0),
)

DETECTION = (
    detection(2.0, requests=50, windows=1_200),
    detection(5.0, requests=10, windows=600),
    detection(20.0, requests=2, windows=400),
)
DEFAULT_POLICY = Policy()


def with_policy(scenario: Scenario, policy: Policy) -> Scenario:
    return replace(scenario, policy=policy)
