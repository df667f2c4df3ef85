"""`python -m loadtest.batch`: rows a second of a batch, beside plain XGBoost and JSON requests of 1,000 rows.

Each is measured in turn, several rounds, on the same file. `--kills` then kills each part of a `tidegate up` while
batches run, and compares digests; `--zero` measures what a start from zero adds; `--mlserver` measures MLServer's batch
command. Exit status 1 if a digest differs, a finished part was scored again, or a bar is missed with `--strict`.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from common.errors import TidegateError
from loadtest.batch import kills, mlserver, rates, zero
from loadtest.batch.data import dataset, model
from loadtest.batch.local import Local
from loadtest.compare.processes import free_port, running

_PLAIN_BAR, _JSON_BAR, _ZERO_BAR = 0.6, 4.0, 3.0
# A start adds the same to a batch of any size, but disappears in the noise of a long one.
_ZERO_ROWS = 200_000


def main() -> int:
    """Measure and print; return the exit status."""
    given = _arguments()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an image has compiled bytecode; here the first start writes it
    given.folder.mkdir(parents=True, exist_ok=True)
    source, place = dataset(given.folder, given.rows), model(given.folder)
    try:
        with tempfile.TemporaryDirectory(dir=given.folder) as name:
            work = Path(name)
            runs, fast = _rates(given, source, place, work)
            soaked = _kills(given, source, place, work, runs[0].digest) if given.kills else True
            started = _zero(given, place, work) if given.zero else True
    except TidegateError as error:
        print(f"batch: {error}", file=sys.stderr)
        return 1
    return int(not soaked or (given.strict and not (fast and started)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtest.batch", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--json-rows", type=int, default=300_000, help="rows for JSON requests, whose rate does not depend on them")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kills", type=int, default=0, help="SIGKILLs during further batches, through the router of a `tidegate up`")
    parser.add_argument("--parts", nargs="+", choices=kills.PARTS, default=kills.PARTS, help="the parts to kill (default: all)")
    parser.add_argument("--pause", type=float, default=2.0, help="most seconds from the start of a part to its kill (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=2013, help="of the order of the kills (default: %(default)s)")
    parser.add_argument("--zero", type=int, default=0, metavar="ROUNDS", help="measure batches from zero, beside warm ones")
    parser.add_argument("--mlserver", type=int, default=0, metavar="ROWS", help="measure `mlserver infer` too, with so many rows")
    parser.add_argument("--strict", action="store_true", help="fail if a bar is missed")
    parser.add_argument("--folder", type=Path, default=Path("loadtest/results/batch"))
    return parser.parse_args()


def _rates(given: argparse.Namespace, source: Path, place: Path, work: Path) -> tuple[list[rates.Run], bool]:
    """Measure the rates in turn; return the batches, and whether the bars are met."""
    port = free_port()
    environ = {"TIDEGATE_MODEL": str(place), "PORT": str(port), "TIDEGATE_HOST": "127.0.0.1"}
    json_rows = min(given.json_rows, given.rows)
    plain, json, batch = [], [], []
    peers: list[float] = []
    with ExitStack() as stack:
        stack.enter_context(
            running([sys.executable, "-m", "functions.flights"], environ, port, mlserver.READY, given.folder / "function.log")
        )
        peer = stack.enter_context(mlserver.served(place, source, work, min(given.mlserver, given.rows))) if given.mlserver else None
        for _ in range(given.rounds):
            plain.append(rates.plain(place / "model.ubj", source, work / "plain.parquet", given.rows))
            json.append(rates.json_requests(port, source, json_rows))
            batch.append(rates.batch(source, work, f"http://127.0.0.1:{port}", given.rows))
            if peer is not None:
                peers.append(peer.rate())
    rows = [("plain XGBoost", plain), ("JSON, 1,000 rows a request", json), ("tidegate batch", [item.rate for item in batch])]
    print(f"{given.rows:,} rows, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, median of {given.rounds}\n")
    print("| | rows/s | lowest | highest |\n|---|---|---|---|")
    for name, found in [*rows, *([(mlserver.TITLE, peers)] if peers else [])]:
        print(f"| {name} | {median(found):,.0f} | {min(found):,.0f} | {max(found):,.0f} |")
    rate = median(item.rate for item in batch)
    ratio, gain = rate / median(plain), rate / median(json)
    print(f"\n{ratio:.2f} of plain XGBoost (bar {_PLAIN_BAR}); {gain:.1f} times JSON (bar {_JSON_BAR:g})")
    if peers:
        print(f"{rate / median(peers):.0f} times {mlserver.TITLE}")
    print(f"peak memory of the driver: {max(item.peak for item in batch) / 2**20:.0f} MiB", flush=True)
    return batch, ratio >= _PLAIN_BAR and gain >= _JSON_BAR


def _kills(given: argparse.Namespace, source: Path, place: Path, work: Path, digest: str) -> bool:
    """Kill the parts in turn; return whether the outputs are those of an undisturbed run, at no more than what was in flight."""
    draw = random.Random(given.seed)  # noqa: S311
    order = kills.order_of(given.parts, given.kills, draw)
    print(f"\n{given.kills} kills with the seed {given.seed}: {' '.join(order)}", flush=True)
    local = Local(work / "local", place, given.folder, warm=True, variables=kills.variables(), attempts=given.kills)
    try:
        found = kills.soak(local, source, work, order, draw, given.pause)
    finally:
        local.stop()
    again = found.scored - len(found.digests) * given.rows
    same = set(found.digests) == {digest}
    print(f"kills: {', '.join(f'{count} {part}' for part, count in sorted(found.kills.items()))}; {found.seconds:.0f} s")
    print(f"{len(found.digests)} runs: {'the same' if same else 'ANOTHER'} digest as without a kill")
    print(f"{again:,} rows scored again ({again // given.kills:,} a kill); {found.most_again:,} could have been in flight")
    print(f"{found.kept} parts were finished before a kill, {found.rewritten} of them were written again")
    print(f"left beside the outputs: {', '.join(found.left) or 'nothing'}", flush=True)
    return same and again <= found.most_again and not found.rewritten and not found.left


def _zero(given: argparse.Namespace, place: Path, work: Path) -> bool:
    """Measure batches from zero; return whether the bar is met."""
    rows = min(_ZERO_ROWS, given.rows)
    source = dataset(given.folder, rows)
    local = Local(work / "zero", place, given.folder, warm=False)
    try:
        local.start()
        cold, warm = zero.measure(local, source, work, rows, given.zero)
    finally:
        local.stop()
    added = median(cold) - median(warm)
    print(f"\n{rows:,} rows: from zero {median(cold):.2f} s ({min(cold):.2f} to {max(cold):.2f}), warm {median(warm):.2f} s", end=" ")
    print(f"({min(warm):.2f} to {max(warm):.2f}), medians of {given.zero}: {added:.2f} s more (bar {_ZERO_BAR:g} s)", flush=True)
    return added <= _ZERO_BAR


if __name__ == "__main__":
    sys.exit(main())
