"""`tidegate doctor`: checks of this machine and of a cluster."""

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
        bool, typer.Option("--cluster", envvar="TIDEGATE_CLUSTER", help="Inspect the cluster of the current context as well.")
    ] = False,
    kubeconfig: Annotated[
        Path | None,
        typer.Option(
            envvar="TIDEGATE_KUBECONFIG", metavar="FILE", help="Inspect the cluster of this file. By default KUBECONFIG, or ~/.kube/config."
        ),
    ] = None,
    context: Annotated[
        str | None, typer.Option(envvar="TIDEGATE_CONTEXT", metavar="NAME", help="Inspect the cluster of this context of the kubeconfig.")
    ] = None,
    namespace: Annotated[
        str | None,
        typer.Option(
            "--namespace",
            "-n",
            envvar="TIDEGATE_DOCTOR_NAMESPACE",
            help="The namespace of the deployment; implies --cluster. By default the manifests' or the context's.",
        ),
    ] = None,
    port: Annotated[int, typer.Option(envvar="TIDEGATE_PORT", min=0, max=65535, help="The gateway's port, for `tidegate up`.")] = 8080,
    bootstrap_servers: Annotated[
        str | None,
        typer.Option(envvar="TIDEGATE_BOOTSTRAP_SERVERS", metavar="HOST:PORT,…", help="Kafka brokers. By default one is embedded."),
    ] = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> int:
    """Report what is missing or wrong, each with its remedy.

    It inspects this machine, and with --cluster, --kubeconfig, --context or --namespace a cluster too, for all that the
    manifests use. It changes nothing. The exit status is 1 if something will not work.
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
