"""A rollout of a second version beside the first: what runs, what is deployed, and the policy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from functions.rollout.policy import POLICY, Policy, policy_of
from tidegate.demo.control import DemoFailed, Workbench
from tidegate.demo.services import KnativeServices
from tidegate.local.eventing.overview import EventingStatus
from tidegate.progress import ProgressReporter

MODEL, STABLE, CANARY = "flights", "v1", "v2"
MODELS = Path("functions/flights/models")
MANIFESTS = Path("manifests")
# What a rollout needs beside the functions: outcomes, a Broker that carries them, and the function that decides.
PARTS = ("base", "components/kafka-broker", "components/router-outcomes", "components/rollout")
_READY_SECONDS = 60.0
# Between two writes of the rollout function: shorter than by default, as the steps are, and with many labels.
_GATHER_SECONDS = "0.5"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """A rollout: its versions with their revisions, and its policy as YAML."""

    stable: str
    canary: str
    revisions: dict[str, str]
    policy: str

    @property
    def steps(self) -> list[int]:
        return list(self._policy.steps)

    @property
    def minimum_labels(self) -> int:
        correctness = self._policy.metrics.correctness
        return correctness.minimum_labels if correctness else 0

    @property
    def _policy(self) -> Policy:
        return policy_of({POLICY: self.policy})


def kustomize(state_dir: Path) -> Path:
    """Write a kustomization of PARTS into the state folder. It only lists folders, which needs no kubectl."""
    folder = state_dir / "manifests"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    resources = [str((MANIFESTS / part).resolve()) for part in PARTS]
    document = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": resources}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    return folder


def deploy(workbench: Workbench, stable: Path, canary: Path, policy: str, reporter: ProgressReporter) -> Rollout:
    """Give all traffic to the model in one folder, by the name of its revision, then create a revision of another one.

    So no request meets a revision that is not pinned. The new one has no traffic, and a tag by which it can be called.
    """
    reporter.step(f"Deploying {canary.name} beside {stable.name}, without traffic, through the Kubernetes API")
    with KnativeServices(Path(workbench.running.kubeconfig)) as services:
        services.set_env("rollout", "TIDEGATE_GATHER_SECONDS", _GATHER_SECONDS)
        first = services.set_env(MODEL, "TIDEGATE_MODEL", str(stable))["status"]["latestReadyRevisionName"]
        everything = {"revisionName": first, "percent": 100, "tag": "stable"}
        services.set_traffic(MODEL, [everything])
        second = services.set_env(MODEL, "TIDEGATE_MODEL", str(canary))["status"]["latestReadyRevisionName"]
        services.set_traffic(MODEL, [everything, {"revisionName": second, "percent": 0, "tag": "canary"}])
    reporter.say(f"  {first} is {stable.name}, {second} is {canary.name}")
    return Rollout(stable=stable.name, canary=canary.name, revisions={stable.name: first, canary.name: second}, policy=policy)


def start(workbench: Workbench, rollout: Rollout, reporter: ProgressReporter) -> None:
    """Start the rollout by `tidegate rollout`, which writes the policy into an annotation of the Knative Service."""
    wait_until_ready(workbench)
    policy = workbench.state_dir / "policy.yaml"
    policy.write_text(rollout.policy)
    reporter.step(f"Starting the rollout of {rollout.canary}: `tidegate rollout start {MODEL} --policy {policy}`, which has")
    for line in rollout.policy.splitlines():
        reporter.say(f"    {line}")
    workbench.command("rollout", "start", MODEL, "--policy", str(policy))


def wait_until_ready(workbench: Workbench) -> None:
    """Wait for Broker and Triggers. Raises DemoFailed."""
    status = workbench.wait_until(_READY_SECONDS, lambda status: not _not_ready(status["eventing"]))
    if waiting := _not_ready(status["eventing"]):
        raise DemoFailed(f"not ready after {_READY_SECONDS:.0f} s: {', '.join(waiting)}", remedy="run `tidegate status` for the reason")


def _not_ready(eventing: EventingStatus) -> list[str]:
    return [f"{item['name']} ({item['reason']})" for item in (*eventing["receivers"], *eventing["triggers"]) if not item["ready"]]
