"""Follows a rollout to its end: live in a terminal, a line for each change elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator

import orjson
from rich.console import Console
from rich.live import Live

from functions.rollout.cluster import Cluster
from functions.rollout.state import Phase
from functions.runtime.knative.client import ApiError
from tidegate.rollouts import text
from tidegate.rollouts.actions import NoRollout, find
from tidegate.rollouts.document import Document, document_of

PROMOTED, ROLLED_BACK, INCONCLUSIVE = 0, 3, 4
STATUS_OF = {Phase.PROMOTED.value: PROMOTED, Phase.ROLLED_BACK.value: ROLLED_BACK, Phase.INCONCLUSIVE.value: INCONCLUSIVE}
_INTERVAL_SECONDS = 1.0
_MOST_FAILURES = 30


def watch(cluster: Cluster, model: str, *, as_json: bool) -> int:
    """Show the rollout until it ends; returns the exit status. Raises what `find` does, also if another rollout begins."""
    documents = follow(cluster, model)
    if as_json:
        return _to_lines(documents, lambda document: orjson.dumps(document).decode())
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        return _to_lines(documents, text.line)
    document: Document = {}
    with Live(console=console, auto_refresh=False) as live:
        for document in documents:
            live.update(text.rendered(document), refresh=True)
    console.print(_last_sentence(document), soft_wrap=True)
    return STATUS_OF[document["phase"]]


def follow(cluster: Cluster, model: str) -> Iterator[Document]:
    """The rollout now and after each change, until it ends. A short failure of the API is not the end."""
    found = find(cluster, model)
    document = document_of(found)
    yield document
    rollout, version, failures = document["rollout"], found.service["metadata"]["resourceVersion"], 0
    while document["phase"] not in STATUS_OF:
        time.sleep(_INTERVAL_SECONDS)
        try:
            found = find(cluster, model)
        except ApiError:
            failures += 1
            if failures > _MOST_FAILURES:
                raise
            continue
        failures = 0
        if found.state.rollout != rollout:
            raise NoRollout(f"{model} has another rollout now, of {found.state.canary}", remedy=f"see it: tidegate rollout watch {model}")
        if found.service["metadata"]["resourceVersion"] != version:
            version = found.service["metadata"]["resourceVersion"]
            document = document_of(found)
            yield document


def _to_lines(documents: Iterator[Document], line: Callable[[Document], str]) -> int:
    document: Document = {}
    for document in documents:
        print(line(document), flush=True)
    if line is text.line:
        print(_last_sentence(document), file=sys.stderr)
    return STATUS_OF[document["phase"]]


def _last_sentence(document: Document) -> str:
    decisions = document["decisions"]
    return str(decisions[-1]["sentence"] if decisions else document["next"])
