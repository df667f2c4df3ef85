"""`tidegate doctor`: what is missing or wrong, on this machine and on a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tidegate.commands.options import DEFAULT_STATE_DIR, AsJson, StateDir


def doctor(
    manifests: Annotated[
        Path, typer.Argument(help="A folder (its kustomization.yaml is followed), a file, or - for standard input.", allow_dash=True)
    ] = Path("manifests/base"),
    cluster: Annotated[
        bool, typer.Option("--cluster", envvar="TIDEGATE_CLUSTER", help="Look at the cluster of the current context as well.")
    ] = False,
    kubeconfig: Annotated[
        Path | None,
        typer.Option(
            envvar="TIDEGATE_KUBECONFIG", metavar="FILE", help="Look at this one's cluster. Left out: KUBECONFIG, or ~/.kube/config."
        ),
    ] = None,
    context: Annotated[
        str | None, typer.Option(envvar="TIDEGATE_CONTEXT", metavar="NAME", help="Look at the cluster of this context of the kubeconfig.")
    ] = None,
    namespace: Annotated[
        str | None,
        typer.Option(
            "--namespace",
            "-n",
            envvar="TIDEGATE_DOCTOR_NAMESPACE",
            help="Where the manifests go; with it the cluster is looked at. Left out: what they name, or the context's.",
        ),
    ] = None,
    port: Annotated[int, typer.Option(envvar="TIDEGATE_PORT", min=0, max=65535, help="The gateway's port, for `tidegate up`.")] = 8080,
    bootstrap_servers: Annotated[
        str | None,
        typer.Option(envvar="TIDEGATE_BOOTSTRAP_SERVERS", metavar="HOST:PORT,…", help="Kafka brokers. Left out: one is embedded."),
    ] = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> int:
    """Say what is missing or wrong, each with its remedy.

    It looks at this machine, and with --cluster, --kubeconfig, --context or --namespace at a cluster too, by what the manifests use.
    It changes nothing. Ends with 1 when something will not work.
    """
    import orjson
    from rich.console import Console

    from tidegate.commands.options import broker
    from tidegate.doctor import report
    from tidegate.doctor.finding import Level
    from tidegate.doctor.run import Settings, run
    from tidegate.local import state

    running = state.read(state_dir)
    settings = Settings(
        manifests=str(manifests),
        root=Path(),
        port=port,
        broker=broker(bootstrap_servers, state_dir) if bootstrap_servers or running else None,
        running=running,
        cluster=cluster or any((kubeconfig, context, namespace)),
        kubeconfig=kubeconfig,
        context=context,
        namespace=namespace,
    )
    if as_json:
        document = report.document(list(run(settings)))
        print(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
        return 1 if document["errors"] else 0
    return 1 if report.show(run(settings), Console(highlight=False))[Level.ERROR] else 0
