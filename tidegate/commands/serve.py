"""`tidegate serve`: one XGBoost model by the Open Inference Protocol, without anything else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from functions.runtime.dataplane import DataPlane


def serve(
    path: Annotated[Path, typer.Argument(help="An XGBoost model (.json, .ubj), a model.yaml, or the folder of one.")],
    port: Annotated[int, typer.Option(envvar="TIDEGATE_PORT", min=0, max=65535, help="0 takes a free port.")] = 8080,
    host: Annotated[str, typer.Option(envvar="TIDEGATE_HOST", help="The address to listen on.")] = "127.0.0.1",
) -> int:
    """Serve an XGBoost model of your own by HTTP.

    It speaks the Open Inference Protocol (V2), V1 and CloudEvents.
    Without a model.yaml its name comes from the file and its inputs from the artifact.
    """
    import sys

    from eventing.listening import listen
    from functions.runtime import artifact
    from functions.runtime.app import build
    from functions.runtime.dataplane import DataPlane
    from functions.runtime.server import log_to_stderr
    from functions.runtime.server import serve as serve_app
    from functions.runtime.settings import Settings

    log_to_stderr("info")
    sys.path.insert(0, "")  # a card's transform is a module of the project that one stands in
    plane = DataPlane(artifact.load(path))
    listener = listen(port, host, option="--port")
    url = f"http://{host}:{listener.getsockname()[1]}"
    print(_greeting(plane, url), flush=True)
    return serve_app(build(plane, max_body_bytes=Settings.max_body_bytes), listener, drain_seconds=10)


def _greeting(plane: DataPlane, url: str) -> str:
    import shlex

    import orjson

    card = plane.card
    row = card.example or {item.name: item.categories[0] if item.categories else 0.5 for item in card.inputs}
    body = orjson.dumps({"instances": [row]}).decode()
    version = f" {card.version}" if card.version else ""
    return (
        f"Serving {card.name}{version} ({len(card.inputs)} inputs) at {url}/v2/models/{card.name}. Try this:\n"
        f"  curl {url}/v1/models/{card.name}:predict -d {shlex.quote(body)}"
    )
