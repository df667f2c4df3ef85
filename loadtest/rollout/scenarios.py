"""The simulated rollouts: in all but the last two tables, the canary is exactly as good as the stable revision."""

from __future__ import annotations

from dataclasses import replace

from eventing.outcome import BAD_OUTCOMES
from functions.rollout.policy import Policy
from loadtest.rollout.simulation import ERRORS_ONLY, Scenario
from loadtest.rollout.traffic import Traffic

_STICKY = {"keys": 2_000, "tail": 1.2, "spread": 0.5}
_WINDOWS = 30
_ALL_METRICS = Policy.model_validate({"metrics": {"drift": {"then": "roll-back"}, "disagreement": False}}).model_copy(
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

DRIFT = Scenario(
    name="drift alone: sticky keys, ramp",
    traffic=_traffic(**_STICKY, requests=150, scores=True),
    policy=Policy.model_validate({"metrics": {"errors": False, "rejections": False, "disagreement": False}}),
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


def detection(ratio: float, *, requests: int, windows: int, policy: Policy = ERRORS_ONLY) -> Scenario:
    """A canary with 20% of the keys whose errors are `ratio` times 1%."""
    traffic = Traffic(windows=windows, requests=requests, rate=0.01, ratio=ratio)
    return Scenario(name=f"{ratio:g} times", traffic=traffic, policy=policy, ramp=(20,))


DETECTION = (
    detection(2.0, requests=50, windows=1_200),
    detection(5.0, requests=10, windows=600),
    detection(20.0, requests=2, windows=400),
)
DEFAULT_POLICY = Policy()


def with_policy(scenario: Scenario, policy: Policy) -> Scenario:
    return replace(scenario, policy=policy)
