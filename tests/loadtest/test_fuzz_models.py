"""Dozens of damaged model files: each is refused, or served with the library's predictions."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from loadtest.fuzz.models import campaign
from loadtest.fuzz.models.mutations import MUTATIONS, mutate
from loadtest.fuzz.models.oracle import Oracle
from loadtest.fuzz.models.originals import Original, table, write
from loadtest.fuzz.models.server import NotStarted, Server

SEEDS = range(1, 49)
# One of each format, and the most different kinds.
KINDS = ("binary.ubj", "categories.json", "vector.ubj", "categories.txt")


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Sequence[Original]:
    return write(tmp_path_factory.mktemp("originals"))


def test_damaged_files_are_refused_or_served_as_the_library_does(originals: Sequence[Original], tmp_path: Path) -> None:
    chosen = [original for original in originals if original.name in KINDS]
    outcomes = list(campaign.run(chosen, SEEDS, tmp_path))
    assert [outcome for outcome in outcomes if outcome.verdict not in campaign.GOOD] == []
    assert sorted(outcome.seed for outcome in outcomes) == list(SEEDS)
    assert {"refused", "same answers"} <= {outcome.verdict for outcome in outcomes}
    for outcome in outcomes:
        if outcome.verdict == "refused":
            assert f"{outcome.original} " in outcome.sentence  # the file is named


def test_signal_that_ended_a_server_is_named(originals: Sequence[Original], tmp_path: Path) -> None:
    original = originals[0]
    (tmp_path / "model.yaml").write_text(original.card())
    (tmp_path / original.name).write_bytes(original.path.read_bytes())
    server = Server(tmp_path)
    try:
        assert server.load() == (200, "")
        os.kill(server.pid, signal.SIGSEGV)
        assert server.death() == "SIGSEGV"
        with pytest.raises(OSError, match="refused"):
            server.load()
    finally:
        server.stop()


def test_run_does_not_start_with_a_model_that_cannot_be_served(originals: Sequence[Original], tmp_path: Path) -> None:
    (tmp_path / "model.yaml").write_text(originals[0].card())
    with pytest.raises(NotStarted, match="cannot read the model artifact"):
        Server(tmp_path)


def test_oracle_survives_a_file_that_ends_the_library(originals: Sequence[Original], tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", table(9, 1))
    damaged = tmp_path / "damaged.json"
    # A child index far outside the tree.
    text = originals[1].path.read_text()
    damaged.write_text(text.replace('"left_children":[1,', '"left_children":[2000000000,', 1))
    oracle = Oracle(tmp_path / "rows.npy")
    try:
        assert oracle.ask(damaged, originals[1].outputs) is None
        found = oracle.ask(originals[1].path, originals[1].outputs)
    finally:
        oracle.close()
    assert found is not None
    assert {name: len(values) for name, values in found.items()} == {"value": 9, "margin": 9, "contributions": 9 * 5, "leaf": 9 * 5}


@pytest.mark.parametrize("ending", ["ubj", "json", "txt"])
def test_mutations_change_the_file_equally_for_a_seed(ending: str, originals: Sequence[Original]) -> None:
    data = next(original.path.read_bytes() for original in originals if original.name == f"binary.{ending}")
    damages = [mutate(data, seed) for seed in range(400)]
    assert damages == [mutate(data, seed) for seed in range(400)]
    assert {name for name, damaged in damages if damaged != data} == set(MUTATIONS)
