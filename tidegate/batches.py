"""The batches that were started here: a record of each in the state folder, so that one can be resumed and looked up."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from common.errors import RemediedError
from tidegate.local.state import is_alive

_FOLDER = "batches"
RUNNING, COMPLETE, FAILED, STOPPED, KILLED = "running", "complete", "failed", "stopped", "killed"


class UnknownRun(RemediedError):
    """There is no such run, or none that can be resumed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One run: what was asked for, by which process, and what came of it."""

    run: str
    request: Mapping[str, Any]
    url: str
    started: str
    pid: int
    state: str = RUNNING
    result: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""

    @property
    def current_state(self) -> str:
        """The state; `killed` for a run whose process has ended without a word."""
        return KILLED if self.state == RUNNING and not is_alive(self.pid) else self.state


def new(request: Mapping[str, Any], url: str) -> Record:
    """Return the record of a new run."""
    now = datetime.now(UTC)
    run = f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    return Record(run=run, request=dict(request), url=url, started=now.isoformat(timespec="seconds"), pid=os.getpid())


def again(record: Record) -> Record:
    """Return the record of a run that goes on in this process."""
    return replace(record, pid=os.getpid(), state=RUNNING, error="")


def save(state_dir: Path, record: Record) -> None:
    """Write a record."""
    folder = state_dir / _FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{record.run}.{os.getpid()}"
    temporary.write_bytes(orjson.dumps(asdict(record)))
    temporary.replace(folder / f"{record.run}.json")


def load_all(state_dir: Path) -> list[Record]:
    """Return all records, the oldest first; a damaged one is left out."""
    found = []
    for path in sorted((state_dir / _FOLDER).glob("*.json")):
        try:
            found.append(Record(**orjson.loads(path.read_bytes())))
        except (OSError, ValueError, TypeError):
            continue
    return found


def find(state_dir: Path, run: str) -> Record:
    """Return the record of a run, by its name, its beginning, or its output. Raises UnknownRun."""
    known = load_all(state_dir)
    found = [record for record in known if record.run.startswith(run)] or [record for record in known if record.request["output"] == run]
    if not found:
        raise UnknownRun(f"no batch {run} was started here ({state_dir})", remedy="see `tidegate batch list`")
    return found[-1]


def unfinished(state_dir: Path) -> Record:
    """Return the last run that is neither complete nor running. Raises UnknownRun."""
    found = [record for record in load_all(state_dir) if record.current_state not in (COMPLETE, RUNNING)]
    if not found:
        raise UnknownRun(f"no unfinished batch was started here ({state_dir})", remedy="name its folder with --state-dir")
    return found[-1]
