"""`tidegate rollout` on an API: what each command writes and prints, and how it ends."""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from eventing.label import Label
from functions.rollout import announcements
from functions.rollout.cluster import Cluster
from functions.rollout.codec import STATE
from functions.rollout.policy import POLICY, policy_of
from functions.rollout.service import rollout_of
from functions.rollout.state import Phase, State
from functions.rollout.turn import turn
from tests.functions.rollout.services import CANARY, STABLE, outcome, scored
from tests.tidegate.rollouts.conftest import Call, Object
from tidegate.cli import run
from tidegate.commands import rollout as commands
from tidegate.local.apiserver.patch import merge
from tidegate.local.apiserver.store import Store
from tidegate.rollouts.text import line

Change = Callable[[Object], Object]
Capture = pytest.CaptureFixture[str]
COMMANDS = ["start", "status", "watch", "pause", "resume", "promote", "abort", "history"]


def state_of(store: Store) -> State:
    state = rollout_of(store.get("services", "flights"))
    assert state is not None
    return state


def without_current_context(config: Path) -> str:
    """Remove the current context of a kubeconfig; returns the name of the only one."""
    content = yaml.safe_load(config.read_text("utf-8"))
    del content["current-context"]
    config.write_text(yaml.safe_dump(content), "utf-8")
    return str(content["contexts"][0]["name"])


def split(store: Store) -> dict[str, int]:
    return {target["revisionName"]: target["percent"] for target in store.get("services", "flights")["spec"]["traffic"]}


def take_turn(store: Store, **arms: Any) -> None:
    """What the rollout function does with one outcome."""
    item, began = store.get("services", "flights"), state_of(store).started
    patch = turn(item, [outcome(item, 1, started=began, **arms)], began + 2).patch
    assert patch is not None
    store.update("services", merge(item, patch))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_a_variable_for_each_option(command: str, capsys: Capture) -> None:
    assert run(["rollout", command, "--help"]) == 0
    shown = capsys.readouterr().out
    options = set(re.findall(r"^\s+(?:-\w, )?--([a-z][a-z-]+)", shown, re.MULTILINE)) - {"help"}
    assert {"kubeconfig", "context", "namespace", "state-dir"} <= options
    assert len(re.findall(r"env var: +TIDEGATE_\w+", " ".join(shown.split()))) == len(options)


def test_help_lists_every_command_and_the_exit_statuses(capsys: Capture) -> None:
    assert run(["rollout", "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {command}  " in shown for command in COMMANDS)
    assert run(["rollout", "watch", "--help"]) == 0
    assert "0 promoted, 3 rolled back, 4 inconclusive" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["nonsense"], ["start"], ["start", "flights", "--steps", "a"], ["watch", "flights", "--nonsense"]])
def test_wrong_usage_has_exit_status_2(arguments: list[str], capsys: Capture) -> None:
    assert run(["rollout", *arguments]) == 2
    known = f"{arguments[0]} " if arguments[0] in COMMANDS else ""
    assert f"`tidegate rollout {known}--help`" in capsys.readouterr().err


def test_without_a_cluster_or_tidegate_up_it_says_what_to_name(tmp_path: Path, capsys: Capture) -> None:
    assert run(["rollout", "status", "flights", "--state-dir", str(tmp_path)]) == 1
    assert "--kubeconfig" in capsys.readouterr().err
    assert run(["rollout", "status", "flights", "--kubeconfig", str(tmp_path / "none")]) == 1
    assert "no cluster can be used" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content",
    [
        b"hello",
        b"{: :",
        b"\xff\xfe\x00",
        b"[]",
        b"contexts: 5",
        b"{current-context: a, contexts: [5]}",
        b"{current-context: a, contexts: [{name: a}]}",
    ],
)
def test_file_that_is_no_kubeconfig_is_named(content: bytes, tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "config"
    file.write_bytes(content)
    assert run(["rollout", "status", "flights", "--kubeconfig", str(file)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("tidegate: no cluster can be used: ")
    assert str(file) in error or "--kubeconfig" in error


async def test_context_that_is_named_need_not_be_the_current_one(config: Path, capsys: Capture) -> None:
    context = without_current_context(config)
    assert await asyncio.to_thread(run, ["rollout", "start", "flights", "--kubeconfig", str(config), "--context", context]) == 0
    assert await asyncio.to_thread(run, ["rollout", "status", "flights", "--kubeconfig", str(config)]) == 1
    assert "no cluster can be used" in capsys.readouterr().err


async def test_start_splits_the_traffic_and_is_announced(rollout: Call, store: Store, capsys: Capture) -> None:
    assert await rollout("start", "flights") == 0
    assert split(store) == {STABLE: 50, CANARY: 50}
    assert CANARY in capsys.readouterr().out
    (announced,) = announcements.waiting(store.get("services", "flights"))
    assert (announced.type, announced.data["canary"]) == ("dev.tidegate.rollout.started", CANARY)


async def test_shadow_gets_copies_and_no_percentage(rollout: Call, store: Store, capsys: Capture) -> None:
    assert await rollout("start", "flights", "--steps", "0,100") == 0
    assert split(store) == {STABLE: 100, CANARY: 0}
    assert f"{CANARY} gets copies of the requests for flights;" in capsys.readouterr().out
    (announced,) = announcements.waiting(store.get("services", "flights"))
    assert announced.data["sentence"] == f"{CANARY} gets copies of the requests to {STABLE}."


async def test_start_takes_revisions_steps_and_policy(rollout: Call, store: Store, change: Change, tmp_path: Path) -> None:
    change({"spec": {"traffic": [{"latestRevision": True, "percent": 100}]}})
    file = tmp_path / "policy.yaml"
    file.write_text("minimumKeys: 7\nhours: {timezone: Europe/Berlin, from: 09:00, to: 17:00}\n")
    arguments = ("--revision", CANARY, "--stable", STABLE, "--policy", str(file), "--steps", "10%,40")
    assert await rollout("start", "flights", *arguments) == 0
    assert split(store) == {STABLE: 90, CANARY: 10}
    policy = policy_of(store.get("services", "flights")["metadata"]["annotations"])
    assert (policy.steps, policy.minimum_keys) == ((10, 40), 7)
    assert policy.hours is not None
    assert f"{policy.hours.end:%H:%M}" == "17:00"


@pytest.mark.parametrize(
    ("change_it", "arguments", "sentence"),
    [
        ({"status": None}, ["other"], "has no Knative Service other"),
        ({"spec": {"traffic": [{"revisionName": CANARY, "percent": 100}]}}, ["flights"], f"no revision that is newer than {CANARY}"),
        ({}, ["flights", "--revision", "flights-00009"], "flights has no revision flights-00009"),
        ({}, ["flights", "--steps", "50,20"], "tidegate: --steps: steps must be percentages that increase"),
        ({}, ["flights", "--steps", "100"], "tidegate: --steps: steps must begin below 100"),
        ({}, ["flights", "--policy", "policy.yaml"], "tidegate: policy.yaml: steps must be a list; correct it."),
    ],
)
async def test_start_refuses_what_makes_no_sense(
    rollout: Call,
    store: Store,
    change: Change,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    change_it: Object,
    arguments: list[str],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policy.yaml").write_text("steps: many")
    change(change_it)
    before = store.get("services", "flights")
    assert await rollout("start", *arguments) == 1
    assert sentence in capsys.readouterr().err
    assert store.get("services", "flights") == before


async def test_second_start_is_refused(rollout: Call, capsys: Capture) -> None:
    assert await rollout("start", "flights") == 0
    assert await rollout("start", "flights") == 1
    assert "has a rollout" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["status", "watch", "pause", "resume", "promote", "abort", "history"])
async def test_model_without_a_rollout_is_named(rollout: Call, capsys: Capture, command: str) -> None:
    assert await rollout(command, "flights") == 1
    assert "flights has no rollout; start one: tidegate rollout start flights." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "phase", "winner", "type_"),
    [("promote", Phase.PROMOTED, CANARY, "promoted"), ("abort", Phase.ROLLED_BACK, STABLE, "rolledback")],
)
async def test_person_ends_a_rollout(
    rollout: Call, store: Store, capsys: Capture, command: str, phase: Phase, winner: str, type_: str
) -> None:
    assert await rollout("start", "flights") == 0
    assert await rollout(command, "flights") == 0
    assert split(store) == {winner: 100}
    assert state_of(store).phase is phase
    assert [one.type.rpartition(".")[2] for one in announcements.waiting(store.get("services", "flights"))] == ["started", type_]
    assert await rollout(command, "flights") == 1
    assert "is over" in capsys.readouterr().err
    assert await rollout("watch", "flights") == (0 if phase is Phase.PROMOTED else 3)


@pytest.mark.parametrize(("command", "type_"), [("promote", "promoted"), ("abort", "rolledback"), ("resume", "")])
async def test_traffic_that_a_person_has_changed_is_announced_by_the_next_command(
    rollout: Call, store: Store, change: Change, command: str, type_: str
) -> None:
    assert await rollout("start", "flights") == 0
    change(
        {"spec": {"traffic": [{"revisionName": STABLE, "percent": 70, "tag": "a"}, {"revisionName": CANARY, "percent": 30, "tag": "b"}]}}
    )
    assert await rollout(command, "flights") == 0
    announced = announcements.waiting(store.get("services", "flights"))
    assert [one.type.rpartition(".")[2] for one in announced] == list(filter(None, ["started", "advanced", type_]))
    assert announced[1].data["sentence"] == f"A user gave 30% to {CANARY}."


async def test_rollout_that_a_person_has_ended_by_the_traffic_is_followed_by_another(rollout: Call, store: Store, change: Change) -> None:
    assert await rollout("start", "flights") == 0
    first = state_of(store).rollout
    change({"spec": {"traffic": [{"revisionName": STABLE, "percent": 100, "tag": "stable"}]}})
    assert await rollout("start", "flights", "--steps", "20,100") == 0
    assert split(store) == {STABLE: 80, CANARY: 20}
    announced = announcements.waiting(store.get("services", "flights"))
    assert [one.type.rpartition(".")[2] for one in announced] == ["started", "rolledback", "started"]
    assert announced[1].data["rollout"] == first


async def test_two_people_start_one_rollout(rollout: Call, store: Store) -> None:
    assert sorted(await asyncio.gather(rollout("start", "flights"), rollout("start", "flights"))) == [0, 1]
    assert len(announcements.waiting(store.get("services", "flights"))) == 1


async def test_service_that_is_deleted_meanwhile_is_named(
    rollout: Call, store: Store, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await rollout("start", "flights") == 0
    monkeypatch.setattr("time.sleep", lambda _: store.delete("services", "flights"))
    assert await rollout("watch", "flights") == 1
    assert "has no Knative Service flights" in capsys.readouterr().err


async def test_service_that_is_deleted_before_the_write_is_named(
    rollout: Call, store: Store, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await rollout("start", "flights") == 0
    patch = Cluster.patch

    def deleted(cluster: Cluster, name: str, change: Object) -> Object:
        store.delete("services", "flights")
        return patch(cluster, name, change)

    monkeypatch.setattr(Cluster, "patch", deleted)
    assert await rollout("abort", "flights") == 1
    assert "has no Knative Service flights" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["promote", "abort"])
async def test_person_ends_a_rollout_whose_policy_is_unreadable(rollout: Call, store: Store, change: Change, command: str) -> None:
    assert await rollout("start", "flights") == 0
    change({"metadata": {"annotations": {POLICY: "steps: many"}}})
    assert await rollout(command, "flights") == 0
    assert split(store) == {STABLE if command == "abort" else CANARY: 100}


async def test_rollout_whose_state_is_unreadable_is_started_again(rollout: Call, store: Store, change: Change, capsys: Capture) -> None:
    assert await rollout("start", "flights") == 0
    change({"metadata": {"annotations": {STATE: "{"}}})
    assert await rollout("status", "flights") == 1
    assert "start the rollout again" in capsys.readouterr().err
    assert await rollout("start", "flights", "--stable", STABLE) == 0
    assert state_of(store).running


async def test_paused_rollout_stays_and_goes_on(rollout: Call, store: Store) -> None:
    assert await rollout("start", "flights") == 0
    assert await rollout("pause", "flights") == 0
    take_turn(store, keys=range(100))
    assert split(store) == {STABLE: 50, CANARY: 50}
    assert await rollout("resume", "flights") == 0
    assert '"paused":false' in store.get("services", "flights")["metadata"]["annotations"][POLICY]
    assert state_of(store).approved == 50
    item = store.get("services", "flights")
    found = turn(item, [], state_of(store).clock + 1)
    assert found.state is not None
    assert found.state.phase is Phase.PROMOTED


async def test_conflict_with_the_rollout_function_is_tried_again(rollout: Call, store: Store, change: Change) -> None:
    assert await rollout("start", "flights") == 0
    interferences = iter(range(2))

    def interfere(seen: Any) -> None:
        if seen.resource == "services" and next(interferences, None) is not None:
            store.update("services", store.get("services", "flights"))

    stop = store.subscribe(interfere)
    change({"metadata": {"labels": {"a": "b"}}})
    assert await rollout("abort", "flights") == 0
    stop()
    assert split(store) == {STABLE: 100}


async def test_status_shows_arms_evidence_and_what_is_next(rollout: Call, store: Store, capsys: Capture) -> None:
    assert await rollout("start", "flights") == 0
    take_turn(store, keys=range(3), failed=[1])
    capsys.readouterr()
    assert await rollout("status", "flights", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["phase"], document["percent"], document["steps"]) == ("running", 50, [50, 100])
    canary = document["arms"][1]
    assert (canary["revision"], canary["requests"], canary["errors"]) == (CANARY, 3, 1)
    errors = next(one for one in document["evidence"] if one["metric"] == "errors")
    assert errors["threshold"] == pytest.approx(20)
    assert errors["counts"] == {"canary": 1, "others": 0}
    assert await rollout("status", "flights") == 0
    shown = capsys.readouterr().out
    for part in (CANARY, STABLE, "33.33%", "canary has more errors", "20 (rollback)", "Next: ", "of 5 keys"):
        assert part in shown, part


async def test_status_shows_what_labels_say_of_both_arms(rollout: Call, store: Store, capsys: Capture) -> None:
    assert await rollout("start", "flights") == 0
    item, began = store.get("services", "flights"), state_of(store).started
    observed = scored(item, 1, {"a": 0.9, "b": 0.8, "c": 0.2, "d": 0.7}, {"c", "d"}, started=began)
    labels = [Label(model="flights", value=1, key=key) for key in "abcc"] + [Label(model="flights", value=1, prediction="none")]
    patch = turn(item, [observed], began + 2, labels).patch
    assert patch is not None
    store.update("services", merge(item, patch))
    capsys.readouterr()

    assert await rollout("status", "flights", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    stable, canary = document["arms"]
    assert (stable["labelledKeys"], stable["errorRate"]) == (2, 0.0)
    assert stable["loss"] == pytest.approx(-(math.log(0.9) + math.log(0.8)) / 2)
    assert (canary["labelledKeys"], canary["errorRate"]) == (1, 1.0)
    assert document["labels"] == {"loss": "log", "waiting": 1, "repeated": 1, "unmatched": 1, "notComparable": 0}
    found = {one["metric"]: one for one in document["evidence"]}
    assert found["correctness"]["counts"] == {"canary": 1, "others": 2}
    assert found["correctness"]["eValue"] > 1 > found["better"]["eValue"]
    assert (found["better"]["for"], found["maximumErrors"]["for"]) == ("information", "promotion")
    assert await rollout("status", "flights") == 0
    shown = capsys.readouterr().out
    lines = ["labelled keys", "log loss", "100.00%", "canary is less correct"]
    for part in (*lines, "Labels: 1 predictions wait for theirs; 1 repeated, 1 match nothing."):
        assert part in shown, part
    assert "log loss 1.609, 100.0% wrong of 1 labelled keys" in line(document)


async def test_status_notices_that_nothing_looks(rollout: Call, store: Store, change: Change, capsys: Capture) -> None:
    assert await rollout("start", "flights") == 0
    text = store.get("services", "flights")["metadata"]["annotations"]["tidegate.dev/rollout-state"]
    old = re.sub(r'"clock":[\d.]+', '"clock":1000.0', text)
    change({"metadata": {"annotations": {"tidegate.dev/rollout-state": old}}})
    assert await rollout("status", "flights") == 0
    assert "Nothing has looked at this rollout" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arms", "status", "word"),
    [({"keys": range(100)}, 0, "is promoted"), ({"keys": range(60), "failed": range(60)}, 3, "is rolled back")],
)
async def test_watch_ends_with_the_rollout(
    rollout: Call, store: Store, capsys: Capture, arms: dict[str, Any], status: int, word: str
) -> None:
    assert await rollout("start", "flights") == 0
    capsys.readouterr()
    following = asyncio.create_task(rollout("watch", "flights"))
    take_turn(store, **arms)
    assert await following == status
    assert word in capsys.readouterr().err


async def test_start_and_wait_is_inconclusive_at_the_deadline(rollout: Call, store: Store, tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("{steps: [50], minimumDuration: 0, deadline: 1ms}")
    waiting = asyncio.create_task(rollout("start", "flights", "--policy", str(file), "--wait", "--json"))
    changed = asyncio.Event()
    store.subscribe(lambda _: changed.set())
    await changed.wait()
    take_turn(store)
    assert await waiting == 4
    assert await rollout("resume", "flights") == 1
    assert "has reached its deadline; decide: tidegate rollout promote flights" in capsys.readouterr().err


async def test_watch_prints_a_line_only_for_a_change(rollout: Call, store: Store, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter(range(3))

    def look(_: float) -> None:
        if next(looks, None) is None:
            take_turn(store, keys=range(100))

    assert await rollout("start", "flights") == 0
    capsys.readouterr()
    monkeypatch.setattr("time.sleep", look)
    assert await rollout("watch", "flights", "--json") == 0
    assert [json.loads(line)["phase"] for line in capsys.readouterr().out.splitlines()] == ["running", "promoted"]


async def test_watch_shows_a_policy_that_becomes_unreadable(
    rollout: Call, store: Store, change: Change, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    policies = iter(["steps: many", store.get("services", "flights")["metadata"]["annotations"][POLICY]])

    def look(_: float) -> None:
        if text := next(policies, None):
            change({"metadata": {"annotations": {POLICY: text}}})
        else:
            take_turn(store, keys=range(100))

    assert await rollout("start", "flights") == 0
    capsys.readouterr()
    monkeypatch.setattr("time.sleep", look)
    assert await rollout("watch", "flights") == 0
    lines = capsys.readouterr().out.splitlines()
    problem = f"The rollout is paused: {POLICY}: steps must be a list; correct it."
    assert [problem in line for line in lines] == [False, True, False, False]


async def test_status_shows_a_policy_that_is_unreadable(rollout: Call, change: Change, capsys: Capture) -> None:
    assert await rollout("start", "flights") == 0
    change({"metadata": {"annotations": {POLICY: "steps: many"}}})
    capsys.readouterr()
    assert await rollout("status", "flights") == 0
    assert f"The rollout is paused: {POLICY}: steps must be a list; correct it." in capsys.readouterr().out
    assert await rollout("status", "flights", "--json") == 0
    assert json.loads(capsys.readouterr().out)["problem"].startswith("The rollout is paused: ")
    assert await rollout("history", "flights") == 0
    assert await rollout("pause", "flights") == 1
    assert f"{POLICY}: steps must be a list; correct it." in capsys.readouterr().err


async def test_another_rollout_ends_the_watch_of_the_first(rollout: Call, store: Store, change: Change, capsys: Capture) -> None:
    assert await rollout("start", "flights") == 0
    capsys.readouterr()
    following = asyncio.create_task(rollout("watch", "flights", "--json"))
    while not capsys.readouterr().out:  # noqa: ASYNC110 output is no event
        await asyncio.sleep(0.01)
    item = store.get("services", "flights")
    text = item["metadata"]["annotations"]["tidegate.dev/rollout-state"].replace(state_of(store).rollout, "another")
    change({"metadata": {"annotations": {"tidegate.dev/rollout": "another", "tidegate.dev/rollout-state": text}}})
    assert await following == 1
    assert "has another rollout now" in capsys.readouterr().err


async def test_interrupted_watch_leaves_the_rollout_running(rollout: Call, config: Path, store: Store) -> None:
    assert await rollout("start", "flights") == 0
    command = [sys.executable, "-m", "tidegate", "rollout", "watch", "flights", "--kubeconfig", str(config), "--json"]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=os.environ)
    assert process.stdout is not None
    assert json.loads(await process.stdout.readline())["phase"] == "running"
    process.send_signal(signal.SIGINT)
    _, error = await process.communicate()
    assert process.returncode == commands.INTERRUPTED
    assert b"the rollout goes on; `tidegate rollout watch flights`" in error
    assert state_of(store).phase is Phase.RUNNING


async def test_watch_is_live_in_a_terminal(rollout: Call, store: Store, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert await rollout("start", "flights") == 0
    take_turn(store, keys=range(60), failed=range(60))
    capsys.readouterr()
    assert await rollout("watch", "flights") == 3
    shown = capsys.readouterr().out
    for part in (CANARY, "canary has more errors", "rolled back", "60 (100.00%)"):
        assert part in shown, part
