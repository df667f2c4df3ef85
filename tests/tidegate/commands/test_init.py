"""`tidegate init` in a copy of the project: its output meets the project's own standards, and runs."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import aiohttp
import orjson
import pytest
import yaml

from tidegate.cli import run
from tidegate.local.up import UpSettings, up
from tidegate.scaffolding.plan import plan
from tidegate.scaffolding.writing import write

ROOT = Path(__file__).parents[3]
FILES = ("pyproject.toml", "skaffold.yaml", "ARCHITECTURE.md")
PARTS = (*FILES, "common", "docs", "eventing", "functions", "manifests", "requirements", "tests/manifests", "training")
# Names that no other model function is likely to have; the second one is made with FastAPI.
NAME, SERVED = "newlymade", "newlyserved"


def _copy(to: Path) -> Path:
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, to / part, ignore=shutil.ignore_patterns("__pycache__", "*.ubj"))
        else:
            shutil.copy(ROOT / part, to / part)
    return to


def _files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _python(*arguments: str, cwd: Path) -> str:
    """The output of `python -m` in a folder, whose packages are found first."""
    environ = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-m", *arguments], cwd=cwd, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    return _copy(tmp_path)


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A copy of the project with two new model functions, the first one trained, and the output of its creation."""
    folder = _copy(tmp_path_factory.mktemp("clone"))
    output = _python("tidegate", "init", NAME, cwd=folder)
    _python("tidegate", "init", SERVED, "--fastapi", cwd=folder)
    _python(f"functions.{NAME}.train", cwd=folder)
    return folder, output


@pytest.fixture(scope="module")
def made(printed: tuple[Path, str]) -> Path:
    return printed[0]


def test_output_lists_files_and_next_steps(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = _files(clone)
    assert run(["init", NAME, "--directory", str(clone)]) == 0
    after = _files(clone)
    shown = capsys.readouterr()
    assert shown.err == ""
    listed = {verb: set(re.findall(rf"^{verb} {clone}/(\S+)$", shown.out, re.MULTILINE)) for verb in ("wrote", "added to")}
    assert listed["wrote"] == after.keys() - before.keys()
    assert listed["added to"] == {name for name, content in before.items() if after[name] != content}
    assert f"cd {clone}\n" in shown.out
    assert f"make train FUNCTION={NAME}\n" in shown.out


def test_option_can_be_an_environment_variable(clone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TIDEGATE_DIRECTORY", str(clone))
    assert run(["init", NAME]) == 0
    assert run(["init", "--help"]) == 0
    assert "env var: TIDEGATE_DIRECTORY" in " ".join(capsys.readouterr().out.split())


def test_manifests_are_derived_from_the_example(made: Path) -> None:
    example = _files(made / "manifests/base/flights")
    for name in (NAME, SERVED):
        assert _files(made / "manifests/base" / name) == {
            path: content.replace(b"flights", name.encode()) for path, content in example.items()
        }


def test_skaffold_builds_it_wherever_it_builds_the_example(made: Path) -> None:
    config = yaml.safe_load((made / "skaffold.yaml").read_text())
    lists = [build["artifacts"] for build in (part.get("build", {}) for part in (config, *config["profiles"])) if "artifacts" in build]
    for artifacts in lists:
        (example,) = [item for item in artifacts if item["image"] == "flights"]
        (own,) = [item for item in artifacts if item["image"] == NAME]
        assert own == orjson.loads(orjson.dumps(example).replace(b"flights", NAME.encode()))
        assert f"make train FUNCTION={NAME}" in str(own["hooks"])


def test_only_a_function_with_fastapi_has_an_application(made: Path) -> None:
    assert [(made / "functions" / name / "app.py").exists() for name in (NAME, SERVED)] == [False, True]


def test_generated_tests_pass(made: Path) -> None:
    _python("pytest", "-q", "-p", "no:cacheprovider", *(f"tests/functions/{name}" for name in (NAME, SERVED)), cwd=made)


def test_manifest_tests_pass_with_it(made: Path) -> None:
    _python("pytest", "-q", "-p", "no:cacheprovider", "-m", "not cluster", "tests/manifests", cwd=made)


def test_generated_types_are_strict(made: Path) -> None:
    folders = [f"{parent}/{name}" for parent in ("functions", "tests/functions") for name in (NAME, SERVED)]
    _python("mypy", "--cache-dir", os.devnull, *folders, cwd=made)


@pytest.mark.parametrize("name", ["q", "runtime2", "z" * 30])
def test_generated_style_passes_lint_for_any_name(clone: Path, name: str) -> None:
    write(plan(clone, name, fastapi=True))
    for command in (["check"], ["format", "--check"]):
        _python("ruff", *command, "--no-cache", f"functions/{name}", f"tests/functions/{name}", cwd=clone)


async def test_printed_call_succeeds_on_one_machine(printed: tuple[Path, str], tmp_path: Path) -> None:
    folder, output = printed
    called = re.search(r"curl http://(router\.localhost):8080(/\S+) -d (.+)$", output, re.MULTILINE)
    assert called
    settings = UpSettings(manifests=str(folder / "manifests/base"), port=0, state_dir=tmp_path / "state", project_root=folder)
    async with up(settings) as here, aiohttp.ClientSession() as client:
        # By the gateway's address, since not every resolver knows names below localhost.
        url, body = here.running.gateway + called[2], shlex.split(called[3])[0]
        async with client.post(url, data=body, headers={"host": called[1]}) as response:
            answer = await response.json()
            assert response.status == 200, answer
    assert len(answer["predictions"]) == 1


def _refused(clone: Path, name: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Return the error message of a refused command, which changes no file."""
    before = _files(clone)
    assert run(["init", name, "-C", str(clone)]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert len(shown.err.splitlines()) == 1
    assert _files(clone) == before
    return shown.err


def test_invalid_name_is_refused(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "such as houseprices." in _refused(clone, "house-prices", capsys)


@pytest.mark.parametrize("taken", ["functions", "tests/functions", "manifests/base"])
def test_existing_folder_is_refused(clone: Path, taken: str, capsys: pytest.CaptureFixture[str]) -> None:
    (clone / taken / NAME).mkdir(parents=True)
    assert f"{clone / taken / NAME} exists already; choose another name" in _refused(clone, NAME, capsys)


def test_existing_entry_is_named(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["init", NAME, "-C", str(clone)]) == 0
    capsys.readouterr()
    for folder in (f"functions/{NAME}", f"tests/functions/{NAME}", f"manifests/base/{NAME}"):
        shutil.rmtree(clone / folder)
    assert f"kustomization.yaml has the line `- {NAME}` already; choose another name" in _refused(clone, NAME, capsys)


def test_folder_that_is_not_a_checkout_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"{tmp_path} is not a Tidegate checkout; run from the repository's root" in _refused(tmp_path, NAME, capsys)
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'another'\n")
    assert "is not a Tidegate checkout" in _refused(tmp_path, NAME, capsys)


def test_missing_source_files_are_named(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    skaffold = clone / "skaffold.yaml"
    skaffold.write_text(skaffold.read_text().replace("# tidegate init adds", "# here go"))
    assert "skaffold.yaml has no line `# tidegate init adds model functions here.`" in _refused(clone, NAME, capsys)
    skaffold.unlink()
    assert "skaffold.yaml: No such file or directory; restore it" in _refused(clone, NAME, capsys)
    shutil.rmtree(clone / "manifests/base/flights")
    assert "no manifests in" in _refused(clone, NAME, capsys)


def test_failed_write_undoes_all_changes(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (clone / "tests/functions").write_text("a file where a folder should be")
    assert f"cannot write {clone}/tests/functions/{NAME}/test_model.py: File exists; nothing was changed" in _refused(clone, NAME, capsys)
    assert not (clone / "functions" / NAME).exists()
