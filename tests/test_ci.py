"""The steps of CI: the same targets everywhere, in a clone with nothing beside it, and on any available API server."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOW = (ROOT / ".github/workflows/ci.yml").read_text("utf-8")
TOOLS = ("awk", "bash", "cat", "dirname", "env", "grep", "id", "mktemp", "rm", "mkdir", "basename")
LOGGED = '#!/bin/sh\necho "$(/usr/bin/basename "$0") $*" >>"{log}"\n{body}\n'
GO = 'case "$*" in "mod download"*) echo \'{"Dir": "/module"}\' ;; esac'


@dataclass
class Run:
    """A clone with nothing but the scripts, and a PATH with nothing but a shell's tools and the programs that a test puts there."""

    root: Path
    environ: dict[str, str] = field(default_factory=dict)

    def program(self, name: str, body: str = "") -> None:
        path = self.root / "bin" / name
        path.unlink(missing_ok=True)
        path.write_text(LOGGED.format(log=self.root / "log", body=body))
        path.chmod(0o755)

    def __call__(self, *command: str) -> subprocess.CompletedProcess[str]:
        environ = {"PATH": str(self.root / "bin"), "TMPDIR": str(self.root), "HOME": str(self.root), **self.environ}
        return subprocess.run(command, cwd=self.root / "clone", env=environ, capture_output=True, text=True, check=False)

    @property
    def log(self) -> list[str]:
        return (self.root / "log").read_text().splitlines()

    @property
    def targets(self) -> list[str]:
        return [line.split()[1] for line in self.log if line.startswith("make ")]


@pytest.fixture
def ci(tmp_path: Path) -> Run:
    run = Run(tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "clone").mkdir()
    for name in TOOLS:
        (tmp_path / "bin" / name).symlink_to(shutil.which(name) or pytest.fail(f"{name} is not on the PATH"))
    (tmp_path / "bin/python3").symlink_to(sys.executable)
    shutil.copytree(ROOT / ".ci", tmp_path / "clone/.ci")
    (tmp_path / "clone/docs").mkdir()
    shutil.copy(ROOT / "docs/kubernetes.md", tmp_path / "clone/docs")
    run.program("make")
    return run


STEPS = ["lint", "types", "docs", "engines", "test", "demo", "demo-rollback", "bench"]


def test_run_without_an_api_server_lists_the_skipped_steps(ci: Run) -> None:
    done = ci("bash", ".ci/run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert ci.targets == STEPS
    summary = done.stdout.partition("== total:")[2]
    assert "left out: make e2e-lite: there is no API server; set KUBECONFIG, or install kind" in summary
    assert "left out: tests that need chromium curl helm java jq kubectl mvn npm openssl: not on the PATH" in summary


@pytest.mark.parametrize("target", STEPS)
def test_failing_step_ends_the_run(ci: Run, target: str) -> None:
    ci.program("make", f'[ "$1" != {target} ] || exit 7')
    assert ci("bash", ".ci/run").returncode == 7
    assert ci.targets[-1] == target


def test_existing_cluster_is_used_and_not_deleted(ci: Run) -> None:
    ci.environ["KUBECONFIG"] = str(ci.root / "kubeconfig")
    for tool in ("kubectl", "kind", "docker", "go", "npm"):
        ci.program(tool)
    done = ci("bash", ".ci/run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert ci.targets == ["lint", "types", "docs", "engines", "azurite", "test", "e2e-lite", "demo", "demo-rollback", "bench"]
    assert not [line for line in ci.log if line.startswith(("kind", "kubectl"))]
    assert "make e2e-lite" not in done.stdout.partition("== total:")[2]


def test_kind_cluster_is_created_and_deleted(ci: Run) -> None:
    for tool, body in {"kubectl": "", "docker": "", "go": GO, "kind": '[ "$1" != create ] || [ -n "$KUBECONFIG" ]'}.items():
        ci.program(tool, body)
    done = ci("bash", ".ci/run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "e2e-lite" in ci.targets
    assert [line for line in ci.log if line.startswith("kind")] == [
        "kind delete cluster --name tidegate-ci",
        "kind create cluster --name tidegate-ci --wait 2m",
        "kind delete cluster --name tidegate-ci",
    ]
    applied = [line for line in ci.log if line.startswith("kubectl apply")]
    assert len(applied) == 4
    assert all("--filename=/module/" in line for line in applied)


def test_kind_is_not_used_without_a_running_engine(ci: Run) -> None:
    for tool, body in {"kubectl": "", "docker": "exit 1", "go": GO, "kind": ""}.items():
        ci.program(tool, body)
    assert ci("bash", ".ci/run").returncode == 0
    assert "e2e-lite" not in ci.targets


def test_failed_start_of_the_api_server_ends_the_run(ci: Run) -> None:
    for tool, body in {"kubectl": "", "docker": "", "go": GO, "kind": '[ "$1" != create ] || exit 9'}.items():
        ci.program(tool, body)
    assert ci("bash", ".ci/run").returncode == 9
    assert "test" not in ci.targets


def test_cluster_scripts_take_precedence_and_forbid_skipped_tests(ci: Run) -> None:
    scripts = ci.root / "scripts"
    scripts.mkdir()
    (scripts / "lib.sh").write_text("export KUBECONFIG=/theirs\n")
    for name in ("up.sh", "crds.sh", "down.sh"):
        (scripts / name).write_text(LOGGED.format(log=ci.root / "log", body=""))
        (scripts / name).chmod(0o755)
    ci.environ |= {"CLUSTER": str(scripts), "KUBECONFIG": "/mine"}
    ci.program("kubectl")
    ci.program("go", GO)
    ci.program("make", f'echo "environment $1 $KUBECONFIG $REQUIRE" >>"{ci.root / "log"}"')
    done = ci("bash", ".ci/run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.split(".sh")[0] for line in ci.log if ".sh " in line] == ["down", "up", "crds", "down"]
    assert "environment e2e-lite /theirs all" in ci.log


def test_knative_is_installed_by_the_documented_commands(ci: Run) -> None:
    ci.program("kind")
    ci.program("kubectl")
    done = ci("bash", ".ci/knative")
    assert done.returncode == 0, done.stderr
    assert ci.log[0] == "kind create cluster"
    serving, kourier = (line for line in ci.log if "apply" in line and "eventing" not in line)
    assert re.search(r"-f https://\S+/serving-crds.yaml -f https://\S+/serving-core.yaml$", serving)
    assert kourier.endswith("/kourier.yaml")
    assert ci.log[-1].startswith("kubectl wait deployment --all")


def test_images_are_loaded_into_kind_with_skaffold_names(ci: Run, tmp_path: Path) -> None:
    functions = ci.root / "clone/functions"
    functions.mkdir()
    (functions / "images.sh").write_text('#!/bin/sh\nfor n in flights router; do echo "$REGISTRY/$n:$TAG"; echo "sha256:1"; done\n')
    (functions / "images.sh").chmod(0o755)
    ci.program("kind")
    done = ci("bash", ".ci/images", str(tmp_path / "images.json"))
    assert done.returncode == 0, done.stderr
    assert ci.log == ["kind load docker-image kind.local/flights:ci kind.local/router:ci"]
    assert yaml.safe_load((tmp_path / "images.json").read_text()) == {
        "builds": [{"imageName": name, "tag": f"kind.local/{name}:ci"} for name in ("flights", "router")]
    }


def _steps(text: str) -> set[str]:
    return {target for line in re.findall(r"\bmake ([a-z0-9 -]+?)(?=$| [A-Z])", text, re.MULTILINE) for target in line.split()}


def test_workflow_and_script_run_the_same_steps() -> None:
    script = (ROOT / ".ci/run").read_text("utf-8")
    script_steps = _steps("\n".join(re.findall(r"step (make .*)", script)))
    assert script_steps == {*STEPS, "azurite", "e2e-lite"}
    assert _steps(WORKFLOW) == script_steps | {"setup", "train", "e2e"}


def test_workflow_covers_every_python_classifier() -> None:
    versions = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', (ROOT / "pyproject.toml").read_text("utf-8"))
    assert yaml.safe_load(WORKFLOW)["jobs"]["python"]["strategy"]["matrix"]["python"] == versions


def test_actions_are_pinned_by_digest_with_a_read_only_token() -> None:
    uses = re.findall(r"uses: (\S+)", WORKFLOW)
    assert uses
    assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action) for action in uses)
    assert yaml.safe_load(WORKFLOW)["permissions"] == {"contents": "read"}


@pytest.mark.parametrize("path", sorted((ROOT / ".github").rglob("*.yml")), ids=lambda path: path.name)
def test_github_files_are_valid_yaml(path: Path) -> None:
    assert isinstance(yaml.safe_load(path.read_text("utf-8")), dict)
