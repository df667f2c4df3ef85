"""`tidegate serve`: the model function itself, on this machine, without anything else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import socket

    from functions.runtime.dataplane import DataPlane, Slot


def serve(
    path: Annotated[
        Path, typer.Argument(help="A model of XGBoost (.json, .ubj) or LightGBM (.txt), a model.yaml, or a folder of one or more.")
    ],
    port: Annotated[int, typer.Option(envvar="TIDEGATE_PORT", min=0, max=65535, help="0 takes a free port.")] = 8080,
    host: Annotated[str, typer.Option(envvar="TIDEGATE_HOST", help="The address to listen on.")] = "127.0.0.1",
) -> int:
    """Serve a model of your own by HTTP.

    It speaks the Open Inference Protocol (V2), V1 and CloudEvents, and shows itself at /docs.
    Without a model.yaml its name comes from the file and its inputs from the artifact.
    Every setting of the model function can be given by its environment variable.
    """
    import os
    import sys

    from functions.runtime.http.hosts import names_of
    from functions.runtime.main import run

    sys.path.insert(0, "")  # a card's transform is a module of the project that one stands in
    environ = (
        {"TIDEGATE_DRAIN_SECONDS": "10", "TIDEGATE_ALLOWED_HOSTS": names_of(host)}
        | os.environ
        | {"TIDEGATE_MODEL": str(path), "PORT": str(port), "TIDEGATE_HOST": host}
    )
    return run(environ, _greet, port_option="--port")


def _greet(plane: DataPlane, listener: socket.socket) -> None:
    host, port = listener.getsockname()
    url = f"http://{host}:{port}"
    for slot in plane.slots:
        print(_greeting(slot, url))
    print(f"All of it, to try in a browser: {url}/docs", flush=True)


def _greeting(slot: Slot, url: str) -> str:
    import shlex

    import orjson

    card = slot.card
    row = card.example or {item.name: item.categories[0] if item.categories else 0.5 for item in card.inputs}
    body = orjson.dumps({"instances": [row]}).decode()
    version = f" {card.version}" if card.version else ""
    return (
        f"Serving {card.name}{version} ({len(card.inputs)} inputs) at {url}/v2/models/{card.name}. Try this:\n"
        f"  curl {url}/v1/models/{card.name}:predict -d {shlex.quote(body)}"
    )
