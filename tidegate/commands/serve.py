"""`tidegate serve`: one model function on this machine."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import socket

    from functions.runtime.inference.registry import DataPlane, ModelEntry


def serve(
    path: Annotated[
        Path, typer.Argument(help="A model of XGBoost (JSON, UBJSON) or LightGBM (text), a model.yaml, or a folder of one or more.")
    ],
    port: Annotated[int, typer.Option(envvar="TIDEGATE_PORT", min=0, max=65535, help="0 takes a free port.")] = 8080,
    host: Annotated[str, typer.Option(envvar="TIDEGATE_HOST", help="The address to listen on; :: is all addresses.")] = "127.0.0.1",
) -> int:
    """Serve a model of your own by HTTP.

    It serves the Open Inference Protocol (V2), V1 and CloudEvents, and has its documentation at /docs.
    Without a model.yaml, the model's name comes from the file and its inputs from the artifact.
    The settings of the model function are environment variables.
    """
    import os

    from functions.runtime.artifacts import modules
    from functions.runtime.http.hosts import names_of
    from functions.runtime.main import run

    modules.offer(str(Path.cwd()))  # a card's transform is a module in the working directory
    environ = (
        {"TIDEGATE_DRAIN_SECONDS": "10", "TIDEGATE_ALLOWED_HOSTS": names_of(host)}
        | os.environ
        | {"TIDEGATE_MODEL": str(path), "PORT": str(port), "TIDEGATE_HOST": host}
    )
    return run(environ, _greet, port_option="--port", host_option="--host")


def _greet(plane: DataPlane, listener: socket.socket) -> None:
    from common.sockets import url_of

    url = url_of(listener)
    for entry in plane.entries:
        print(_greeting(entry, url))
    print(f"All of it, to try in a browser: {url}/docs", flush=True)


def _greeting(entry: ModelEntry, url: str) -> str:
    card = entry.card
    version = f" {card.version}" if card.version else ""
    head = f"Serving {card.name}{version} ({len(card.inputs)} inputs) at {url}/v2/models/{card.name}."
    body = _example(entry)
    if body is None:
        return f"{head} Add an example to its card to see a valid call here."
    return f"{head} Try this:\n  curl {url}/v1/models/{card.name}:predict -d {shlex.quote(body)}"


def _example(entry: ModelEntry) -> str | None:
    """A body for V1: the card's example or one generated from its inputs; None if the model's transform rejects it."""
    import orjson

    from functions.runtime.documentation import examples

    row = examples.record(entry.card)
    try:
        entry.model.encoder.record(row)
    except Exception:  # noqa: BLE001 a user's transform may raise anything for an invalid row
        return None
    body = orjson.dumps({"instances": [row]}).decode()
    # A shell sends the command in the terminal's encoding, and JSON is UTF-8.
    utf_8 = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("-", "") == "utf8"
    return body if utf_8 else json.dumps(orjson.loads(body))
