"""The main job from beginning to end. Each step is a function; what they saw goes into the checks and the report."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from eventing.event import Event
from functions.flights.departures import Departure, departures, to_parquet
from functions.flights.evaluation import auc, log_loss
from functions.runtime import card as cards
from tidegate.demo import calls, checks, report
from tidegate.demo.broken import broken
from tidegate.demo.checks import Check
from tidegate.demo.collector import Collected
from tidegate.demo.control import DemoFailed, KnativeServices, Workbench, is_alive
from tidegate.demo.offline import Offline
from tidegate.demo.streaming import Streamed, stream
from tidegate.local.status import Status
from tidegate.narration import Narration

MODEL, STABLE, CANARY, WEIGHT = "flights", "v1", "v2", 0.10
STREAM_MONTH, BATCH_MONTH = 11, 12
BROKEN = 20
MODELS = Path("functions/flights/models")
MANIFESTS = Path("manifests/base")
_ZERO_SECONDS = 90.0


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """`events` bounds the streamed departures (all of the month unless given); `kill` names what is killed once while the stream runs."""

    state_dir: Path
    bootstrap_servers: str | None = None
    events: int | None = None
    kill: tuple[str, ...] = ()
    train: bool = True

    @property
    def report(self) -> Path:
        return self.state_dir / "report.json"


@dataclass(slots=True)
class _Seen:
    """What the steps leave for the report."""

    checks: list[Check] = field(default_factory=list)
    report: dict[str, Any] = field(default_factory=dict)
    pids: set[int] = field(default_factory=set)


def run(settings: DemoSettings, narration: Narration) -> tuple[report.Report, list[Check]]:
    """Run the main job, write report.json, and return it with the checks. Raises DemoFailed when a step cannot be done at all."""
    started = time.monotonic()
    if not MANIFESTS.is_dir():
        raise DemoFailed(f"there is no {MANIFESTS} here; run the demo from the project's own folder.")
    seen = _Seen()
    if settings.train:
        _train(narration)
    month = departures(STREAM_MONTH)[: settings.events]
    offline = Offline(MODELS, [STABLE, CANARY])
    narration.step("Starting `tidegate up`: the manifests as processes, everything at zero")
    with Workbench(settings.state_dir, MANIFESTS, settings.bootstrap_servers) as workbench:
        seen.report["kafka"] = workbench.running.kafka
        _roll_out(workbench, narration)
        _stream(workbench, month, offline, settings.kill, seen, narration)
        _batch(workbench, settings.state_dir, offline, seen, narration)
        _call(workbench, month[0], offline, seen, narration)
        _wait_for_zero(workbench, seen, narration)
        narration.step("Stopping `tidegate up` by Ctrl-C")
        status = workbench.stop()
    alive = [pid for pid in seen.pids if is_alive(pid)]
    seen.checks.append(
        Check("`tidegate up` leaves no process behind", status == 0 and not alive, f"exit status {status}, {len(alive)} alive")
    )
    seen.report["seconds"] = round(time.monotonic() - started, 1)
    seen.report["checks"] = [{"name": check.name, "kept": check.kept, "seen": check.seen} for check in seen.checks]
    report.write(seen.report, settings.report)
    return seen.report, seen.checks


def _train(narration: Narration) -> None:
    narration.step("Training v1 (the timetable) and v2 (the weather and the aircraft as well) on January to October")
    started = time.monotonic()
    process = subprocess.run([sys.executable, "-m", "functions.flights.train"], stdout=subprocess.PIPE, text=True, check=False)
    if process.returncode != 0:
        raise DemoFailed("the models could not be trained; the lines above say why.")
    narration.say(process.stdout.rstrip())
    narration.say(f"  trained in {time.monotonic() - started:.1f} s")


def _roll_out(workbench: Workbench, narration: Narration) -> None:
    """v1 came with the manifests. Pin it by name, then make v2, then give it its share: no request ever meets an unpinned version."""
    narration.step(f"Rolling out {CANARY} beside {STABLE}, through the Kubernetes API: {1 - WEIGHT:.0%} and {WEIGHT:.0%} by revision name")
    services = KnativeServices(Path(workbench.running.kubeconfig))
    try:
        stable = services.wait_ready(MODEL)["status"]["latestReadyRevisionName"]
        services.set_traffic(MODEL, [{"revisionName": stable, "percent": 100, "tag": STABLE}])
        canary = services.set_env(MODEL, "TIDEGATE_MODEL", str(MODELS / CANARY))["status"]["latestReadyRevisionName"]
        percent = round(100 * WEIGHT)
        services.set_traffic(
            MODEL,
            [
                {"revisionName": stable, "percent": 100 - percent, "tag": STABLE},
                {"revisionName": canary, "percent": percent, "tag": CANARY},
            ],
        )
    finally:
        services.close()
    narration.say(f"  {stable} is {STABLE}, {canary} is {CANARY}")


def to_event(departure: Departure) -> Event:
    """What an airline would publish: keyed by the aircraft, so that one aircraft's events stay in order and with one version."""
    return Event(
        {
            "specversion": "1.0",
            "id": departure.id,
            "source": f"/airlines/{departure.record['carrier']}",
            "type": "com.example.flight.departed",
            "subject": f"{departure.record['carrier']}{departure.record['flight']}",
            "partitionkey": departure.record["tailnum"],
            "datacontenttype": "application/json",
        },
        departure.record,
    )


def _stream(
    workbench: Workbench, month: Sequence[Departure], offline: Offline, kill: Sequence[str], seen: _Seen, narration: Narration
) -> None:
    events = [to_event(departure) for departure in month]
    spoilt = broken(events[:BROKEN])
    narration.step(f"Publishing {len(events):,} departures of November 2013 and {len(spoilt)} broken ones; scoring them through the stream")
    streamed = stream(workbench, events, spoilt, kill, narration)
    collected = streamed.collected
    arms = checks.by_key((scored.key, scored.version) for scored in collected.scored.values())
    seen.checks += checks.accounting((event.id for event in events), (item.case for item in spoilt), collected)
    seen.checks.append(checks.dead_letters({item.case: item.reason for item in spoilt}, collected))
    seen.checks.append(_equal_offline(month, collected, offline))
    seen.checks += checks.canary("stream", arms, CANARY, WEIGHT)
    seen.report |= _stream_figures(streamed, len(events) + len(spoilt), arms)
    seen.report["versions"] = _quality(month, collected)


def _equal_offline(month: Sequence[Departure], collected: Collected, offline: Offline) -> Check:
    served: list[float] = []
    expected: list[float] = []
    for version in (STABLE, CANARY):
        mine = [item for item in month if (scored := collected.scored.get(item.id)) and scored.version == version]
        if mine:
            served += [collected.scored[item.id].score for item in mine]
            expected += offline.scores(version, [item.record for item in mine]).tolist()
    return checks.equal("stream: served scores equal offline scores", served, expected)


def _stream_figures(streamed: Streamed, events_in: int, arms: dict[str, set[str]]) -> dict[str, Any]:
    collected = streamed.collected
    out = len(collected.scored) + len(collected.dead)
    return {
        "events_in": events_in,
        "scored": len(collected.scored),
        "dead_lettered": len(collected.dead),
        "lost": events_in - out,
        "duplicated": sum(copies - 1 for copies in collected.copies.values()),
        "events_per_second": round(out / streamed.seconds, 1),
        "latency_ms": report.percentiles(streamed.latencies_ms),
        "canary_share_of_keys": round(checks.share_of_keys(arms, CANARY), 4),
        "killed": streamed.killed,
    }


def _quality(month: Sequence[Departure], collected: Collected) -> dict[str, dict[str, float]]:
    """Each version on what it scored, joined with what really happened."""
    quality = {}
    for version in (STABLE, CANARY):
        pairs = [
            (item.late, scored.score)
            for item in month
            if item.late is not None and (scored := collected.scored.get(item.id)) and scored.version == version
        ]
        if pairs:
            outcomes, scores = zip(*pairs, strict=True)
            quality[version] = {"events": len(pairs), "log_loss": log_loss(outcomes, scores), "auc": auc(outcomes, scores)}
    return quality


def _batch(workbench: Workbench, folder: Path, offline: Offline, seen: _Seen, narration: Narration) -> None:
    import pyarrow.parquet as pq

    narration.step("Scoring December 2013 as a batch, from one Parquet file into another")
    source, target = folder / "december.parquet", folder / "december-scored.parquet"
    rows = to_parquet(BATCH_MONTH, source)
    target.unlink(missing_ok=True)
    command = [sys.executable, "-m", "tidegate", "batch", str(source), str(target), "--model", MODEL, "--key", "tailnum"]
    command += ["--state-dir", str(workbench.state_dir), "--json"]
    process = subprocess.run(command, stdout=subprocess.PIPE, check=False)  # noqa: S603 our own command
    if process.returncode != 0:
        raise DemoFailed("the batch job failed; the lines above say why.")
    summary = orjson.loads(process.stdout)
    table = pq.read_table(target)
    revisions, scores = table["revision"].to_pylist(), table["late"].to_pylist()
    records = [{name: value for name, value in row.items() if value is not None} for row in pq.read_table(source).to_pylist()]
    names = dict(zip(sorted(set(revisions)), (STABLE, CANARY), strict=False))
    served: list[float] = []
    expected: list[float] = []
    for revision, version in names.items():
        mine = [index for index, name in enumerate(revisions) if name == revision]
        served += [scores[index] for index in mine]
        expected += offline.scores(version, [records[index] for index in mine]).tolist()
    seen.checks.append(Check("batch: every row is scored", table.num_rows == rows == len(served), f"{table.num_rows:,} of {rows:,}"))
    seen.checks.append(checks.equal("batch: served scores equal offline scores", served, expected))
    arms = checks.by_key((record["tailnum"], names[revision]) for record, revision in zip(records, revisions, strict=True))
    seen.checks += checks.canary("batch", arms, CANARY, WEIGHT)
    seen.report["batch_rows"] = rows
    seen.report["batch_rows_per_second"] = round(rows / summary["seconds"], 1)


def _call(workbench: Workbench, departure: Departure, offline: Offline, seen: _Seen, narration: Narration) -> None:
    narration.step("One Open Inference call and one CloudEvent call by HTTP")
    record, key = departure.record, departure.record["tailnum"]
    inputs = {item.name: item.datatype for item in cards.load(MODELS / CANARY / "model.yaml").inputs}
    gateway = workbench.running.gateway
    answers = {
        "Open Inference": calls.open_inference(gateway, MODEL, record, inputs, key),
        "CloudEvent": calls.cloudevent(gateway, MODEL, to_event(departure)),
    }
    for name, (version, score) in answers.items():
        expected = float(offline.scores(version, [record])[0])
        narration.say(f"  {name}: {departure.id} by {version}: {score:.4f}")
        seen.checks.append(Check(f"{name} call: the answer is the offline score", score == expected, f"{score!r} by {version}"))
    versions = {version for version, _ in answers.values()}
    seen.checks.append(Check("both calls met the version of their key", len(versions) == 1, ", ".join(sorted(versions))))


def _wait_for_zero(workbench: Workbench, seen: _Seen, narration: Narration) -> None:
    narration.step("Waiting until everything is back at zero")
    started = time.monotonic()
    status = workbench.wait_until("every service at zero", _ZERO_SECONDS, lambda status: not running_services(status))
    narration.say(f"  at zero after {time.monotonic() - started:.1f} s")
    seen.checks.append(Check("everything is back at zero", not running_services(status), ", ".join(status["services"])))
    cold = [start for revision in status["services"][MODEL]["revisions"] for start in revision["cold_starts"]]
    seen.report["cold_start_ms"] = report.percentiles([start["first_answer_ms"] or start["ready_ms"] for start in cold], maximum=True)
    seen.report["peak_rss_mib"] = {name: round(mib, 1) for name, mib in status["peak_rss_mib"].items()}


def running_services(status: Status) -> list[str]:
    """Those that still have a process."""
    return [name for name, service in status["services"].items() if any(revision["replicas"] for revision in service["revisions"])]
