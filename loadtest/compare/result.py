"""The result of a comparison: all figures, and the conditions of the measurement."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson

from common.errors import TidegateError
from loadtest.compare.rounds import Rounds
from loadtest.compare.soak import Soak


class NoResult(TidegateError):
    """A file is not the result of a comparison."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A server in the report; `notes` qualify its figures, `missing` is the reason why it was not measured."""

    name: str
    title: str
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """All figures; `ceiling` is the rate of the load generator alone in requests/s, by connections."""

    began: str
    machine: Mapping[str, str]
    rounds: int
    seconds: float
    ceiling: Mapping[str, float]
    servers: tuple[Shown, ...]
    measured: Rounds
    soak: Soak | None = None
    interrupted: bool = False

    def shown(self) -> list[Shown]:
        return [server for server in self.servers if not server.missing]


def machine() -> dict[str, str]:
    cpus = os.cpu_count() or 1
    return {
        "cpu": f"{cpus} x {_cpu()}",
        "load": f"{os.getloadavg()[0]:.2f}",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def write(result: Comparison, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(orjson.dumps(asdict(result), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def read(path: Path) -> Comparison:
    """Read a result. Raises NoResult."""
    try:
        document: dict[str, Any] = orjson.loads(path.read_bytes())
        servers = tuple(Shown(**item | {"notes": tuple(item["notes"])}) for item in document.pop("servers"))
        soak = document.pop("soak")
        samples = tuple((done, size) for done, size in soak.pop("samples")) if soak else ()
        measured = Rounds(**document.pop("measured"))
        return Comparison(**document, servers=servers, measured=measured, soak=Soak(**soak, samples=samples) if soak else None)
    except OSError as error:
        raise NoResult(f"cannot read {path}: {error.strerror}", remedy="measure first, or name another file") from None
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise NoResult(f"{path} is not the result of a comparison ({error!r})", remedy="measure again") from None


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
