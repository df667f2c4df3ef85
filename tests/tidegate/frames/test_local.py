"""Frames scored by the artifact in this process, and in others that it is sent to."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from functions.runtime.errors import InvalidModel
from tests.fixtures.frames import flights_frame
from tidegate import frames
from tidegate.frames import backends, background
from tidegate.frames.local import LocalModel, WrongModel, open_model
from tidegate.frames.scorer import InvalidScorer


@pytest.fixture
def folder(flights_models: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(flights_models / "v1", tmp_path / "v1"))


async def test_a_running_event_loop_does_not_matter(folder: Path) -> None:
    scored = frames.scorer("flights", path=folder)(flights_frame(20))
    assert scored.late.between(0, 1).all()


def test_a_version_is_chosen_from_a_folder(flights_models: Path) -> None:
    with pytest.raises(WrongModel, match=r"has several versions of the model flights \(v1, v2\); name one by `version`\.$"):
        frames.scorer("flights", path=flights_models)
    assert frames.scorer("flights", path=flights_models, version="v2").version == "v2"


@pytest.mark.parametrize(("name", "version"), [("prices", None), ("flights", "v9")], ids=["name", "version"])
def test_another_model_is_refused(folder: Path, name: str, version: str | None) -> None:
    with pytest.raises(WrongModel, match=rf"^the model {name}.* is not at .*; name the folder of its model\.yaml\.$"):
        frames.scorer(name, path=folder, version=version)


def test_a_card_without_a_digest_is_refused(folder: Path) -> None:
    card = folder / "model.yaml"
    card.write_text("".join(line for line in card.read_text().splitlines(keepends=True) if "sha256" not in line))
    with pytest.raises(WrongModel, match=r"has no digest of its artifact, .*; write artifact\.sha256 into it\.$"):
        frames.scorer("flights", path=folder)


def test_another_artifact_is_refused(folder: Path) -> None:
    with (folder / "model.ubj").open("ab") as artifact:
        artifact.write(b"x")
    with pytest.raises(InvalidModel, match="sha256"):
        frames.scorer("flights", path=folder)


def test_a_worker_that_finds_another_card_does_not_score(folder: Path) -> None:
    sent = pickle.dumps(frames.scorer("flights", path=folder))
    background.stop()  # a worker begins without a model
    with (folder / "model.yaml").open("a") as card:
        card.write("# other\n")
    with pytest.raises(WrongModel, match=r"has changed since the scorer was made; make the scorer again\.$"):
        pickle.loads(sent)(flights_frame(1))  # noqa: S301 our own


def test_a_worker_without_the_model_says_so(folder: Path) -> None:
    score = frames.scorer("flights", path=folder)
    background.stop()
    shutil.rmtree(folder)
    with pytest.raises(WrongModel, match=r"is not there in this process; put the model where each worker can read it\.$"):
        score(flights_frame(1))


def test_threads_share_one_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []

    def opening(card: Path, sha256: str) -> LocalModel:
        opened.append(card)
        return open_model(card, sha256)

    monkeypatch.setattr(backends, "open_model", opening)
    score = frames.scorer("flights", path=folder)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(score, [flights_frame(50)] * 8))
    assert len(opened) == 1
    assert all(item.late.equals(found[0].late) for item in found)


def test_what_chooses_a_revision_needs_a_service(folder: Path) -> None:
    with pytest.raises(InvalidScorer, match=r"^key and revision choose among the revisions of a service; pass its url"):
        frames.scorer("flights", path=folder, key="carrier")


def test_an_unknown_category_is_named_by_its_row(folder: Path) -> None:
    given = flights_frame(10)
    given.loc[7, "carrier"] = "??"
    with pytest.raises(
        frames.InvalidFrame, match=r"^row 7 of the frame cannot be scored: the input carrier is '\?\?', which is not one of"
    ):
        frames.scorer("flights", path=folder)(given)


FORKED = """
import os, sys
from tests.fixtures.frames import flights_frame
from tidegate import frames
score = frames.scorer("flights", path=sys.argv[1])
expected = score(flights_frame(20)).late
child = os.fork()
if not child:
    os._exit(0 if score(flights_frame(20)).late.equals(expected) else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


@pytest.mark.parametrize(
    "program",
    [
        "import sys, tidegate.frames; assert {'pandas', 'pyspark', 'dask', 'distributed', 'ray'}.isdisjoint(sys.modules)",
        FORKED,
    ],
    ids=["no engine is imported", "a forked process has a loop of its own"],
)
def test_in_a_process_of_its_own(program: str, folder: Path) -> None:
    done = subprocess.run([sys.executable, "-c", program, str(folder)], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
