"""The state of a rollout as the text of an annotation, and back."""

from __future__ import annotations

import math
import struct
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeVar

import orjson

from common.errors import InvalidEvent
from eventing.distinct import Distinct
from eventing.outcome import BAD_OUTCOMES
from functions.rollout.errors import InvalidState
from functions.rollout.evidence.comparison import RATIOS, Comparison
from functions.rollout.evidence.correctness import Correctness
from functions.rollout.evidence.drift import BINS, REFERENCE_SCORES, Drift
from functions.rollout.evidence.loss import THETAS, ArmLoss, Loss
from functions.rollout.evidence.predictions import MOST_EARLY, MOST_PREDICTIONS, Known, Prediction, Predictions
from functions.rollout.evidence.proportion import Disagreement
from functions.rollout.evidence.sample import MOST_DIGESTS, Sample, threshold_of
from functions.rollout.routers import MOST_ROUTERS, WINDOW, Ignored, Routers, Seen
from functions.rollout.state import MOST_COUNT, MOST_DECISIONS, ArmCounts, Decision, Kind, Phase, State

STATE = "tidegate.dev/rollout-state"
"""The annotation with the state."""
VERSION = 2
_READABLE = (1, VERSION)  # version 1 has no correctness
MOST_BYTES = 100 * 1024
"""No state is larger as text, whatever the traffic and for however long. All annotations of an object have 256 KiB."""

_MOST_NAME = 253  # characters of a name in Kubernetes
_MOST_SENTENCE = 512
_MOST_HALVINGS = 32
_CANARY = 128  # the bit of an arm that is the canary, above its percentage
T = TypeVar("T")


def encode(state: State) -> str:
    """The state as compact JSON."""
    return orjson.dumps(
        {
            "version": VERSION,
            "rollout": state.rollout,
            "model": state.model,
            "stable": state.stable,
            "canary": state.canary,
            "percent": state.percent,
            "phase": state.phase.value,
            "started": state.started,
            "clock": state.clock,
            "elapsed": state.elapsed,
            "stepElapsed": state.step_elapsed,
            "approved": state.approved,
            "evidence": {name: _from_comparison(comparison) for name, comparison in state.comparisons.items()},
            "drift": _from_drift(state.drift),
            "disagreement": {
                "pairs": state.disagreement.pairs,
                "different": state.disagreement.different,
                "sample": _from_sample(state.disagreement.sample),
            },
            "correctness": _from_correctness(state.correctness),
            "keys": {name: keys.to_text() for name, keys in _sketches(state).items()},
            "unlisted": state.unlisted,
            "counts": {"stable": _from_counts(state.stable_counts), "canary": _from_counts(state.canary_counts)},
            "routers": [[name, seen.upto, f"{seen.above:x}", seen.latest, seen.horizon] for name, seen in state.routers.seen.items()],
            "horizon": state.routers.horizon,
            "ignored": {reason.value: count for reason, count in state.ignored.items() if count},
            "decisions": [_from_decision(decision) for decision in state.decisions],
        }
    ).decode()


def decode(text: str) -> State:
    """The state of a text by `encode`. Raises InvalidState for any other text."""
    if len(text) > MOST_BYTES:
        raise _invalid(f"it has more than {MOST_BYTES} characters")
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise _invalid("it is not JSON") from None
    if not isinstance(value, dict):
        raise _invalid("it is not an object")
    if value.get("version") not in _READABLE:
        raise _invalid(f"its version is none of {', '.join(map(str, _READABLE))}")
    try:
        return _state(value)
    except KeyError as error:
        raise _invalid(f"it has no {error.args[0]}") from None
    except (ValueError, TypeError, AttributeError, struct.error) as error:
        raise _invalid(str(error)) from None
    except InvalidEvent as error:  # a sketch
        raise _invalid(error.message.rstrip(".")) from None


def _state(value: dict[str, Any]) -> State:
    keys = value["keys"]
    return State(
        rollout=_name(value["rollout"]),
        model=_name(value["model"]),
        stable=_name(value["stable"]),
        canary=_name(value["canary"]),
        percent=_count(value["percent"], 100),
        phase=Phase(value["phase"]),
        started=_number(value["started"]),
        clock=_number(value["clock"]),
        elapsed=_number(value["elapsed"]),
        step_elapsed=_number(value["stepElapsed"]),
        approved=_count(value["approved"], 100),
        comparisons={name: _comparison(value["evidence"][name]) for name in BAD_OUTCOMES},
        drift=_drift(value["drift"]),
        disagreement=Disagreement(
            _count(value["disagreement"]["pairs"]), _count(value["disagreement"]["different"]), _sample(value["disagreement"]["sample"])
        ),
        correctness=Correctness() if value["version"] == 1 else _correctness(value["correctness"]),
        stable_keys=Distinct.from_text(keys["stable"]),
        canary_keys=Distinct.from_text(keys["canary"]),
        step_keys=Distinct.from_text(keys["step"]),
        failed_keys=Distinct.from_text(keys["failed"]),
        unlisted=_count(value["unlisted"]),
        stable_counts=_counts(value["counts"]["stable"]),
        canary_counts=_counts(value["counts"]["canary"]),
        routers=Routers(dict(_listed(value["routers"], MOST_ROUTERS, _seen)), _number(value["horizon"])),
        ignored={reason: _count(value["ignored"].get(reason.value, 0)) for reason in Ignored},
        decisions=tuple(_listed(value["decisions"], MOST_DECISIONS, _decision)),
    )


def _sketches(state: State) -> dict[str, Distinct]:
    return {"stable": state.stable_keys, "canary": state.canary_keys, "step": state.step_keys, "failed": state.failed_keys}


def _from_sample(sample: Sample) -> list[object]:
    return [sample.halvings, _packed("I", sorted(sample.digests))]


def _sample(value: Any) -> Sample:
    halvings, digests = value
    sample = Sample(frozenset(_unpacked("I", digests)), _count(halvings, _MOST_HALVINGS))
    if len(sample.digests) > MOST_DIGESTS or any(digest >= sample.threshold for digest in sample.digests):
        raise ValueError("a sample has too many digests, or digests above its threshold")
    return sample


def _from_comparison(comparison: Comparison) -> dict[str, object]:
    return {
        "logs": list(comparison.logs),
        "canary": comparison.canary,
        "rest": comparison.rest,
        "sample": _from_sample(comparison.sample),
    }


def _comparison(value: Mapping[str, Any]) -> Comparison:
    return Comparison(
        logs=_exactly(len(RATIOS), value["logs"], _real),
        canary=_count(value["canary"]),
        rest=_count(value["rest"]),
        sample=_sample(value["sample"]),
    )


def _from_drift(drift: Drift) -> dict[str, object]:
    return {
        "reference": _packed("d", drift.reference),
        "edges": _packed("d", drift.edges),
        "canary": list(drift.canary),
        "rest": list(drift.rest),
        "expected": list(drift.expected),
        "log": drift.log,
        "sample": _from_sample(drift.sample),
    }


def _drift(value: Mapping[str, Any]) -> Drift:
    reference, edges = _unpacked("d", value["reference"]), _unpacked("d", value["edges"])
    if len(reference) >= REFERENCE_SCORES or len(edges) not in (0, BINS - 1) or (reference and edges):
        raise ValueError("the bins of scores are incomplete")
    return Drift(
        reference=tuple(map(_real, reference)),
        edges=tuple(map(_real, edges)),
        canary=_exactly(BINS, value["canary"], _count),
        rest=_exactly(BINS, value["rest"], _count),
        expected=_exactly(BINS, value["expected"], _number),
        log=_real(value["log"]),
        sample=_sample(value["sample"]),
    )


def _from_correctness(correctness: Correctness) -> dict[str, object]:
    loss, predictions = correctness.loss, correctness.predictions
    held = sorted(predictions.held.items())
    return {
        "loss": loss.kind,
        "logs": list(loss.logs),
        "means": list(loss.means),
        "error": loss.error,
        "canary": [loss.canary.keys, loss.canary.loss, loss.canary.wrong],
        "rest": [loss.rest.keys, loss.rest.loss, loss.rest.wrong],
        "halvings": predictions.halvings,
        "keys": _packed("I", [key for key, _ in held]),
        "ids": _packed("I", [prediction.id for _, prediction in held]),
        "scores": _packed("f", [prediction.score for _, prediction in held]),
        "arms": _packed("B", [prediction.percent + _CANARY * prediction.canary for _, prediction in held]),
        "early": [
            _packed("I", [label.id for label in predictions.early]),
            _packed("I", [label.key for label in predictions.early]),
            _packed("f", [label.value for label in predictions.early]),
        ],
        "repeated": predictions.repeated,
        "givenUp": predictions.given_up,
        "incomparable": predictions.incomparable,
    }


def _correctness(value: Mapping[str, Any]) -> Correctness:
    kind = value["loss"]
    if kind not in ("log", "absolute"):
        raise ValueError("a loss is neither log nor absolute")
    loss = Loss(
        kind=kind,
        logs=_exactly(2 * len(THETAS), value["logs"], _real),
        means=_exactly(2 * len(THETAS), value["means"], _positive),
        error=_number(value["error"]),
        canary=_arm_loss(value["canary"]),
        rest=_arm_loss(value["rest"]),
    )
    columns = [_unpacked(kind, value[name]) for kind, name in (("I", "keys"), ("I", "ids"), ("f", "scores"), ("B", "arms"))]
    held = {key: _prediction(*fields) for key, *fields in zip(*columns, strict=True)}
    halvings = _count(value["halvings"], _MOST_HALVINGS)
    if len(held) > MOST_PREDICTIONS or any(key >= threshold_of(halvings) for key in held):
        raise ValueError("there are too many predictions, or some above their threshold")
    ids, keys, values = value["early"]
    early = tuple(
        Known(_real(label), identity, key)
        for identity, key, label in zip(_unpacked("I", ids), _unpacked("I", keys), _unpacked("f", values), strict=True)
    )
    if len(early) > MOST_EARLY:
        raise ValueError("there are too many labels")
    counts = (_count(value[name]) for name in ("repeated", "givenUp", "incomparable"))
    return Correctness(loss, Predictions(held, halvings, early, *counts))


def _prediction(identity: int, score: float, arm: int) -> Prediction:
    return Prediction(identity, _real(score), arm >= _CANARY, _count(arm % _CANARY, 99))


def _arm_loss(value: Any) -> ArmLoss:
    keys, loss, wrong = value
    return ArmLoss(_count(keys), _number(loss), _count(wrong))


def _from_counts(counts: ArmCounts) -> dict[str, object]:
    return {field.name: getattr(counts, field.name) for field in fields(counts)}


def _counts(value: Mapping[str, Any]) -> ArmCounts:
    latencies = _exactly(len(ArmCounts().latencies), value["latencies"], _count)
    return ArmCounts(
        **{field.name: _count(value[field.name]) for field in fields(ArmCounts) if field.name != "latencies"}, latencies=latencies
    )


def _seen(value: Any) -> tuple[str, Seen]:
    name, upto, above, latest, horizon = value
    bits = int(above, 16)
    if not 0 <= bits < 1 << WINDOW:
        raise ValueError("the sequence numbers of a router are out of bounds")
    return _name(name), Seen(_count(upto), bits, _number(latest), _number(horizon))


def _from_decision(decision: Decision) -> dict[str, object]:
    return {
        "kind": decision.kind.value,
        "sentence": _printable(decision.sentence),
        "percent": decision.percent,
        "phase": decision.phase.value,
        "metric": decision.metric,
        "eValue": decision.e_value,
        "threshold": decision.threshold,
        "counts": dict(decision.counts),
        "at": decision.at,
    }


def _decision(value: Mapping[str, Any]) -> Decision:
    return Decision(
        kind=Kind(value["kind"]),
        sentence=_text(value["sentence"], _MOST_SENTENCE),
        percent=_count(value["percent"], 100),
        phase=Phase(value["phase"]),
        metric=_name(value["metric"]),
        e_value=_number(value["eValue"]),
        threshold=_number(value["threshold"]),
        counts={_name(name): _count(count) for name, count in list(value["counts"].items())[:16]},
        at=_number(value["at"]),
    )


def _printable(sentence: str) -> str:
    """A sentence in few bytes, whatever is named in it."""
    plain = "".join(character if character.isprintable() else " " for character in sentence[:_MOST_SENTENCE])
    return plain.encode()[:_MOST_SENTENCE].decode(errors="ignore")


def _packed(kind: str, values: Sequence[float]) -> str:
    return b64encode(struct.pack(f"<{len(values)}{kind}", *values)).decode("ascii")


def _unpacked(kind: str, text: str) -> tuple[Any, ...]:
    data = b64decode(text, validate=True)
    return struct.unpack(f"<{len(data) // struct.calcsize(kind)}{kind}", data)


def _listed(values: Any, most: int, read: Callable[[Any], T]) -> list[T]:
    if not isinstance(values, list) or len(values) > most:
        raise ValueError(f"a list is not one of at most {most} items")
    return [read(value) for value in values]


def _exactly(count: int, values: Any, read: Callable[[Any], T]) -> tuple[T, ...]:
    if not isinstance(values, list) or len(values) != count:
        raise ValueError(f"a list does not have {count} items")
    return tuple(read(value) for value in values)


def _text(value: Any, most: int) -> str:
    if not isinstance(value, str) or len(value) > most or not value.isprintable():
        raise ValueError("a text is too long, or not a printable string")
    return value


def _name(value: Any) -> str:
    """A name as Kubernetes allows them: no other takes more bytes than characters."""
    name = _text(value, _MOST_NAME)
    if not name.isascii():
        raise ValueError("a name is not ASCII")
    return name


def _count(value: Any, most: int = MOST_COUNT) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError("a count is not an integer in its bounds")
    return value


def _real(value: Any) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError("a number is not finite")
    return float(value)


def _number(value: Any) -> float:
    number = _real(value)
    if number < 0:
        raise ValueError("a number is negative")
    return number


def _positive(value: Any) -> float:
    number = _real(value)
    if number <= 0:
        raise ValueError("a number is not positive")
    return number


def _invalid(problem: str) -> InvalidState:
    return InvalidState(f"the annotation {STATE} cannot be read: {problem}", remedy="remove it, or start the rollout again")
