"""`tidegate rollout`: start a rollout, follow it, and take a decision by hand."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common.errors import RemediedError
from tidegate.commands.options import DEFAULT_STATE_DIR, AsJson, NotRunning, StateDir

if TYPE_CHECKING:
    from rich.console import RenderableType

    from functions.rollout.cluster import Cluster
    from functions.rollout.state import State

INTERRUPTED = 130

app = typer.Typer(
    name="tidegate rollout",
    help="Roll a new revision out: as a canary that gets more traffic, or none, by the evidence in its requests.",
    epilog="The Kubernetes API is that of the running `tidegate up`, or of a cluster that --kubeconfig, --context or --namespace names.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    no_args_is_help=True,
)

Model = Annotated[str, typer.Argument(metavar="MODEL", help="The model: the name of its Knative Service.")]
Kubeconfig = Annotated[
    Path | None,
    typer.Option(
        envvar="TIDEGATE_KUBECONFIG", metavar="FILE", help="Use the cluster of this file. By default KUBECONFIG, or ~/.kube/config."
    ),
]
Context = Annotated[
    str | None, typer.Option(envvar="TIDEGATE_CONTEXT", metavar="NAME", help="Use the cluster of this context of the kubeconfig.")
]
Namespace = Annotated[
    str | None,
    typer.Option("--namespace", "-n", envvar="TIDEGATE_ROLLOUT_NAMESPACE", help="The model's namespace. By default the context's."),
]


class UnusablePolicy(RemediedError):
    """The file with the policy cannot be read."""


@app.command()
def start(
    model: Model,
    revision: Annotated[
        str | None, typer.Option(envvar="TIDEGATE_REVISION", help="The canary. By default the latest revision that is ready.")
    ] = None,
    stable: Annotated[
        str | None, typer.Option(envvar="TIDEGATE_STABLE", help="The stable revision. By default the one that has all traffic.")
    ] = None,
    steps: Annotated[
        str | None, typer.Option(envvar="TIDEGATE_STEPS", metavar="PERCENT,…", help="The canary's percentages, such as 5,20,50,100.")
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option(envvar="TIDEGATE_POLICY", metavar="FILE", help="The policy (YAML), which is written to the Knative Service."),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", envvar="TIDEGATE_WAIT", help="Watch the rollout to its end; the exit status is that of `watch`.")
    ] = False,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> int:
    """Give a new revision its first share of the traffic, and let the rollout function decide on more."""
    from tidegate.rollouts import actions

    asked, percentages = _text_of(policy), _percentages(steps)
    with _cluster(kubeconfig, context, namespace, state_dir) as cluster:
        state = actions.start(
            cluster, model, canary=revision, stable=stable, policy=asked, policy_name=str(policy) if policy else None, steps=percentages
        )
        if wait:
            return _watch(cluster, model, as_json)
        share = f"{state.percent}% of {model}" if state.percent else f"copies of the requests for {model}"
        _say(state, f"{state.canary} gets {share}; `tidegate rollout watch {model}` follows it.", as_json)
    return 0


@app.command()
def status(
    model: Model,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> None:
    """Show the arms, the evidence against its thresholds, and what happens next."""
    from tidegate.rollouts import text
    from tidegate.rollouts.actions import find
    from tidegate.rollouts.document import document_of

    with _cluster(kubeconfig, context, namespace, state_dir) as cluster:
        document = document_of(find(cluster, model))
    _show(document, text.rendered(document), as_json, soft_wrap=True)


@app.command()
def watch(
    model: Model,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> int:
    """Follow a rollout to its end: live in a terminal, a line for each change elsewhere; --json prints JSON lines.

    Exit status: 0 promoted, 3 rolled back, 4 inconclusive, 1 another error. Ctrl-C leaves the rollout running (130).
    """
    with _cluster(kubeconfig, context, namespace, state_dir) as cluster:
        return _watch(cluster, model, as_json)


@app.command()
def pause(
    model: Model,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> None:
    """Give the canary no more traffic for now. It is still rolled back if it fails."""
    from tidegate.rollouts import actions

    with _cluster(kubeconfig, context, namespace, state_dir) as cluster:
        state = actions.pause(cluster, model)
    _say(state, f"{state.canary} keeps {state.percent}%; `tidegate rollout resume {model}` goes on.", as_json)


@app.command()
def resume(
    model: Model,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> None:
    """Go on with a paused rollout, or beyond a percentage of `pauseAt`."""
    from tidegate.rollouts import actions

    with _cluster(kubeconfig, context, namespace, state_dir) as cluster:
        state = actions.resume(cluster, model)
    _say(state, f"the rollout of {state.canary} goes on from {state.percent}%.", as_json)


@app.command()
def promote(
    model: Model,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> None:
    """Give the canary all traffic now, whatever the evidence."""
    from tidegate.rollouts import actions

    with _cluster(kubeconfig, context, namespace, state_dir) as cluster:
        state = actions.promote(cluster, model)
    _say(state, f"{state.canary} has all traffic of {model}.", as_json)


@app.command()
def abort(
    model: Model,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> None:
    """Take all traffic from the canary now."""
    from tidegate.rollouts import actions

    with _cluster(kubeconfig, context, namespace, state_dir) as cluster:
        state = actions.abort(cluster, model)
    _say(state, f"{state.stable} has all traffic of {model} again.", as_json)


@app.command()
def history(
    model: Model,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> None:
    """List the last decisions about a model, with their evidence."""
    from tidegate.rollouts import text
    from tidegate.rollouts.actions import find
    from tidegate.rollouts.document import history_of

    with _cluster(kubeconfig, context, namespace, state_dir) as cluster:
        decisions = history_of(find(cluster, model).state)
    _show(decisions, text.history(decisions), as_json)


def _cluster(kubeconfig: Path | None, context: str | None, namespace: str | None, state_dir: Path) -> Cluster:
    """The Kubernetes API of the command. It never falls back to a cluster that was not named."""
    from tidegate.local import state
    from tidegate.rollouts.connection import of_cluster, of_local

    if kubeconfig or context or namespace:
        return of_cluster(kubeconfig, context, namespace)
    found = state.read(state_dir)
    if found is None:
        raise NotRunning(
            f"no tidegate is running here ({state_dir})",
            remedy="start it with `tidegate up`, or name a cluster by --kubeconfig, --context or --namespace",
        )
    return of_local(found)


def _watch(cluster: Cluster, model: str, as_json: bool) -> int:
    from tidegate.rollouts.watching import watch as follow

    try:
        return follow(cluster, model, as_json=as_json)
    except KeyboardInterrupt:
        print(f"tidegate: the rollout goes on; `tidegate rollout watch {model}` shows it again.", file=sys.stderr)
        return INTERRUPTED


def _show(document: object, rendered: RenderableType, as_json: bool, *, soft_wrap: bool = False) -> None:
    import orjson
    from rich.console import Console

    if as_json:
        print(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
    else:
        Console(highlight=False, markup=False).print(rendered, soft_wrap=soft_wrap)


def _say(state: State, sentence: str, as_json: bool) -> None:
    import orjson

    if as_json:
        shown = {name: getattr(state, name) for name in ("model", "rollout", "stable", "canary", "percent")}
        print(orjson.dumps({**shown, "phase": state.phase.value}).decode())
    else:
        print(sentence)


def _text_of(policy: Path | None) -> str | None:
    if policy is None:
        return None
    try:
        return policy.read_text("utf-8")
    except UnicodeDecodeError:
        raise UnusablePolicy(f"{policy} is not UTF-8", remedy="name a YAML file with the policy") from None


def _percentages(steps: str | None) -> tuple[int, ...] | None:
    if steps is None:
        return None
    try:
        return tuple(int(step.strip().removesuffix("%")) for step in steps.split(","))
    except ValueError:
        raise typer.BadParameter(f"{steps!r} is not a list of percentages; write 5,20,50,100", param_hint="--steps") from None
