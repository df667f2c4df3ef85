"""A run of the fuzzer: each seed is one damaged file, which a model function loads, and serves if it accepts it."""

from __future__ import annotations

import math
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from loadtest.fuzz.models.mutations import mutate
from loadtest.fuzz.models.oracle import Answers, Oracle
from loadtest.fuzz.models.originals import COLOURS, NAMES, Original, Table, table
from loadtest.fuzz.models.server import Server

_ROWS = 70  # more than a block of 64; the function predicts so many in another thread
_EXACT = 1e-5  # a float32 in JSON, and the order of additions

# Acceptable outcomes. An unnoticed damage changes the predictions, and the library's in the same way.
GOOD = ("refused", "same answers", "unnoticed")


@dataclass(frozen=True, slots=True)
class Outcome:
    seed: int
    original: str
    mutation: str
    # One of GOOD, or what went wrong: a signal's name, "hang", "status 500", "not the library's answers".
    verdict: str
    # From the request to load the file to the response.
    seconds: float
    sentence: str = ""


def run(originals: Sequence[Original], seeds: Sequence[int], folder: Path, keep: Path | None = None) -> Iterator[Outcome]:
    """Yield the outcomes, by original; each seed damages one file. Files that cause a fault are copied to `keep`."""
    rows = table(_ROWS, 1)
    np.save(folder / "rows.npy", rows)
    oracle = Oracle(folder / "rows.npy")
    try:
        for place, original in enumerate(originals):
            of_this = [seed for seed in seeds if seed % len(originals) == place]
            if of_this:
                yield from _Victim(original, folder / f"served-{original.name}", rows, oracle, keep).outcomes(of_this)
    finally:
        oracle.close()


def summary(outcomes: Sequence[Outcome]) -> str:
    verdicts = Counter(outcome.verdict for outcome in outcomes)
    seconds = sorted(outcome.seconds for outcome in outcomes)
    shown = ", ".join(f"{count:,} {verdict}" for verdict, count in verdicts.most_common())
    half, most = seconds[len(seconds) // 2], seconds[-1]
    return f"{len(outcomes):,} damaged files: {shown}; decided in {half:.2f} s (median), {most:.2f} s (longest)"


class _Victim:
    """A server with one model, whose file is damaged repeatedly."""

    def __init__(self, original: Original, folder: Path, rows: Table, oracle: Oracle, keep: Path | None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.yaml").write_text(original.card())
        self._original = original
        self._folder = folder
        self._path = folder / original.name
        self._oracle = oracle
        self._keep = keep
        self._body = _request(original, rows)
        self._whole = original.path.read_bytes()
        self._expected = oracle.ask(original.path, original.outputs) or {}

    def outcomes(self, seeds: Sequence[int]) -> Iterator[Outcome]:
        server = self._start()
        try:
            for seed in seeds:
                mutation, data = mutate(self._whole, seed)
                self._path.write_bytes(data)
                outcome = self._outcome(server, seed, mutation)
                yield outcome
                if outcome.verdict not in GOOD:
                    if self._keep is not None:
                        shutil.copy(self._path, self._keep / f"{seed}-{self._original.name}")
                    server.stop()
                    server = self._start()
        finally:
            server.stop()

    def _start(self) -> Server:
        self._path.write_bytes(self._whole)
        return Server(self._folder)

    def _outcome(self, server: Server, seed: int, mutation: str) -> Outcome:
        began = time.monotonic()
        seconds, sentence = 0.0, ""
        try:
            status, sentence = server.load()
            seconds = time.monotonic() - began
            verdict = self._served(server) if status == 200 else _refusal(status, sentence)
            if not server.is_alive():
                verdict = server.death()
        except OSError:
            verdict = server.death()
            seconds = seconds or time.monotonic() - began
        return Outcome(seed, self._original.name, mutation, verdict, seconds, sentence)

    def _served(self, server: Server) -> str:
        """Check the predictions of an accepted file against the library's."""
        status, found = server.infer(self._body)
        if status != 200:
            return f"status {status}"
        library = self._oracle.ask(self._path, self._original.outputs)
        if library is None or not _equal(found, library):
            return "not the library's answers"
        return "same answers" if _equal(found, self._expected) else "unnoticed"


def _refusal(status: int, sentence: str) -> str:
    return "refused" if status == 503 and sentence and "\n" not in sentence else f"status {status}"


def _request(original: Original, rows: Table) -> bytes:
    number = "FP32" if original.runtime == "xgboost" else "FP64"
    inputs = []
    for name, column in zip(NAMES, rows.T, strict=True):
        categorical = name in original.categorical
        decode: Callable[[float], Any] = (lambda code: COLOURS[int(code)]) if categorical else float
        data = [None if math.isnan(value) else decode(value) for value in column]
        inputs.append({"name": name, "datatype": "BYTES" if categorical else number, "shape": [len(column)], "data": data})
    return orjson.dumps({"inputs": inputs, "outputs": [{"name": name} for name in ("value", *original.outputs)]})


def _equal(found: Mapping[str, Sequence[Any]], expected: Answers) -> bool:
    """Compare outputs; NaN and infinity are null in JSON."""
    return found.keys() == expected.keys() and all(
        len(found[name]) == len(values) and np.allclose(_numbers(found[name]), _numbers(values), rtol=_EXACT, atol=_EXACT, equal_nan=True)
        for name, values in expected.items()
    )


def _numbers(values: Sequence[Any]) -> Any:
    numbers = np.array([math.nan if value is None else value for value in values], dtype=np.float64)
    return np.where(np.isfinite(numbers), numbers, np.nan)
