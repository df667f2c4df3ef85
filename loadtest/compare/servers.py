"""The compared servers: how each is installed and started, with all its defaults."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from loadtest.compare.environments import environment, versions
from loadtest.compare.model import NAME, Trained
from loadtest.compare.processes import Process, ServerFailed, exchange, free_port, running
from loadtest.compare.wire import scores

_JSON_INSTEAD = "does not support binary tensors over HTTP; measured with JSON instead"
OURS, PEER = "tidegate", "mlserver"
MLSERVER_PACKAGES = ("mlserver", "mlserver-xgboost")
_TOLERANCE = 1e-6


class WrongScores(ServerFailed):
    """A server returns other scores than the library."""


@dataclass(frozen=True, slots=True)
class StartMethod:
    """A way to start a server: its command and environment for a model, on a port; `note` qualifies its figures."""

    command: Callable[[Path, Trained, int], list[str]]
    environ: Callable[[Trained, int], Mapping[str, str]] = lambda trained, port: {}
    note: str = ""


@dataclass(frozen=True, slots=True)
class Server:
    """A server; its `packages` are installed into a new environment, without any it runs from this one.

    The first of its start methods that answers is used. `shown` are the distributions whose versions are reported.
    """

    name: str
    title: str
    packages: tuple[str, ...]
    shown: tuple[str, ...]
    methods: tuple[StartMethod, ...]


@dataclass(frozen=True, slots=True)
class Ready:
    """A server with verified scores; `binary` is whether it accepts and returns binary tensors."""

    server: Server
    python: Path
    method: StartMethod
    binary: bool
    log: Path
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def notes(self) -> list[str]:
        return [note for note in (self.method.note, "" if self.binary else _JSON_INSTEAD) if note]

    @contextmanager
    def start(self, trained: Trained) -> Iterator[Process]:
        port = free_port()
        command, environ = self.method.command(self.python, trained, port), self.method.environ(trained, port)
        with running(command, environ, port, trained.requests.one[0], self.log) as process:
            yield process


def _function(trained: Trained, port: int) -> dict[str, str]:
    return {"TIDEGATE_MODEL": str(trained.folder), "TIDEGATE_HOST": "127.0.0.1", "PORT": str(port)}


def mlserver_environ(port: int) -> dict[str, str]:
    """The environment of an MLServer that listens on this machine alone."""
    ports = {"GRPC": free_port(), "METRICS": free_port()}
    return {"MLSERVER_HOST": "127.0.0.1", "MLSERVER_HTTP_PORT": str(port)} | {
        f"MLSERVER_{name}_PORT": str(at) for name, at in ports.items()
    }


def _mlserver(trained: Trained, port: int) -> dict[str, str]:
    return mlserver_environ(port)


def _mlserver_command(python: Path, trained: Trained, port: int) -> list[str]:
    return [str(python.with_name("mlserver")), "start", str(trained.folder)]


def _kserve_command(python: Path, trained: Trained, port: int) -> list[str]:
    ports = ["--http_port", str(port), "--grpc_port", str(free_port())]
    return [str(python), str(Path(__file__).with_name("kserve_predictor.py")), str(trained.artifact), "--model_name", NAME, *ports]


SERVERS = (
    Server(
        OURS,
        "Tidegate",
        (),
        ("xgboost-cpu", "uvicorn", "uvloop", "httptools", "starlette", "fastapi"),
        (StartMethod(lambda python, trained, port: [str(python), "-m", "functions.flights"], _function),),
    ),
    Server(
        PEER,
        "MLServer",
        MLSERVER_PACKAGES,
        (*MLSERVER_PACKAGES, "xgboost", "uvicorn", "uvloop", "httptools", "fastapi"),
        (
            StartMethod(_mlserver_command, _mlserver),
            StartMethod(
                _mlserver_command,
                lambda trained, port: _mlserver(trained, port) | {"MLSERVER_PARALLEL_WORKERS": "0"},
                "does not start with its default of a worker process (incompatible with uvloop 0.22 and newer); it predicts in the server"
                " process instead (MLSERVER_PARALLEL_WORKERS=0), which is faster and smaller than the default with an older uvloop",
            ),
        ),
    ),
    Server(
        "kserve",
        "KServe",
        ("kserve", "xgboost-cpu"),
        ("kserve", "xgboost-cpu", "uvicorn", "uvloop", "httptools", "fastapi"),
        (
            StartMethod(
                _kserve_command,
                note="xgbserver is only in KServe's images, not on PyPI; this is KServe's Python server with a predictor of ten lines",
            ),
        ),
    ),
)


def prepare(server: Server, trained: Trained, cache: Path, logs: Path) -> Ready:
    """Install a server and find a start method with correct scores.

    Raises NotInstalled, ServerFailed or WrongScores.
    """
    python = environment(cache / server.name, server.packages) if server.packages else Path(sys.executable)
    log, found = logs / f"{server.name}.log", versions(python, server.shown)
    logs.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    failed: ServerFailed | None = None
    for method in server.methods:
        ready = Ready(server, python, method, False, log, found)
        try:
            with ready.start(trained) as process:
                return replace(ready, binary=check(process, trained))
        except WrongScores:
            raise
        except ServerFailed as error:
            failed = failed or error
    raise failed or ServerFailed(f"{server.name} has no start method")


def check(process: Process, trained: Trained) -> bool:
    """Check the scores of all kinds of requests, and return whether binary tensors are supported.

    Raises WrongScores.
    """
    requests = trained.requests
    for sent, expected in zip([*requests.one, *requests.many], [*requests.one_scores, *requests.many_scores], strict=True):
        _compare(_asked(process, sent), expected)
    try:
        answers = [_asked(process, sent) for sent in requests.binary]
    except WrongScores:
        return False
    for found, expected in zip(answers, requests.many_scores, strict=True):
        _compare(found, expected)
    return True


def _asked(process: Process, request: bytes) -> list[float]:
    try:
        return scores(exchange(process.port, request))
    except (OSError, ValueError, LookupError) as error:
        raise WrongScores(f"unexpected response instead of scores: {error}") from None


def _compare(found: list[float], expected: list[float]) -> None:
    if len(found) != len(expected) or any(abs(one - other) > _TOLERANCE for one, other in zip(found, expected, strict=True)):
        raise WrongScores(f"scores differ from the library's: {found[:3]} instead of {expected[:3]}")
