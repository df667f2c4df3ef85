"""`python -m loadtest.fairness --port 8080`: the cost of heavy requests for small calls and liveness probes.

It uses the first model of numbers that a model function on this machine serves. Times are latencies of the small calls
in milliseconds.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from array import array
from collections.abc import Callable, Iterator, Sequence

import orjson

from common.errors import TidegateError
from loadtest.fuzz.model import Model, NotServed, discover
from loadtest.fuzz.wire import Request, Target

_JSON_BYTES = 4 * 2**20
# Often enough to meet every stall, without being a load.
_PAUSE_SECONDS = 0.005


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m loadtest.fairness", description="Measure the cost of heavy requests for small ones.")
    parser.add_argument("--port", type=int, default=8080, help="port of a model function on this machine (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=5.0, help="seconds of each kind of heavy request (default: %(default)g)")
    options = parser.parse_args(arguments)
    try:
        model = _of_numbers(discover(Target(options.port)))
        print("| beside | heavy requests | statuses | one row: p50 | p99 | max | liveness: p50 | p99 | max |")
        print("|---" * 9 + "|")
        for name, heavy in _heavy(model):
            print(_row(name, heavy, model, options.port, options.seconds), flush=True)
    except (TidegateError, OSError) as error:
        print(f"fairness: {error}", file=sys.stderr)
        return 1
    return 0


def _of_numbers(models: Sequence[Model]) -> Model:
    for model in models:
        if all(column.datatype.startswith("FP") for column in model.columns) and "contributions" in model.outputs:
            return model
    raise NotServed("no model takes numbers only and returns contributions", remedy="serve one that does, such as a regression")


def _heavy(model: Model) -> Iterator[tuple[str, Request | None]]:
    width = len(model.columns)
    yield "nothing", None
    yield "100,000 rows as a binary tensor", _binary(model, 100_000)
    values = (_JSON_BYTES - 1_000) // 9 // width * width
    tensor = b'{"inputs":[{"name":"rows","datatype":"FP32","shape":[%d,%d],"data":[' % (values // width, width)
    for name, last in ((f"{_JSON_BYTES >> 20} MiB of JSON", b"0.123456"), ("the same with a null", b"null")):
        body = tensor + b",".join([b"0.123456"] * (values - 1) + [last]) + b"]}]}"
        yield name, Request(f"/v2/models/{model.name}/infer", (), body)
    yield "contributions of 5,000 rows", _binary(model, 5_000, outputs=[{"name": "contributions"}])
    data = {column.name: 0.5 for column in model.columns}
    events = [{"specversion": "1.0", "id": str(index), "source": "/fairness", "type": "row", "data": data} for index in range(10_000)]
    yield "10,000 events", Request(f"/models/{model.name}", (("content-type", "application/cloudevents-batch+json"),), orjson.dumps(events))


def _binary(model: Model, count: int, **fields: object) -> Request:
    content = array("f", [0.5]).tobytes() * count * len(model.columns)
    size = {"binary_data_size": len(content)}
    tensor = {"name": "rows", "datatype": "FP32", "shape": [count, len(model.columns)], "parameters": size}
    head = orjson.dumps({"inputs": [tensor], **fields})
    return Request(f"/v2/models/{model.name}/infer", (("inference-header-content-length", str(len(head))),), head + content)


def _row(name: str, heavy: Request | None, model: Model, port: int, seconds: float) -> str:
    end = time.monotonic() + seconds
    statuses: list[int] = []
    small, probe = _binary(model, 1), "/v2/health/live"
    calls: list[float] = []
    probes: list[float] = []
    threads = [
        threading.Thread(target=_until, args=(end, calls, lambda: Target(port).exchange(small))),
        threading.Thread(target=_until, args=(end, probes, lambda: Target(port).get(probe))),
    ]
    for thread in threads:
        thread.start()
    while heavy is not None and time.monotonic() < end:
        reply = Target(port).exchange(heavy)
        statuses.append(reply.status if reply else 0)
    for thread in threads:
        thread.join()
    figures = " | ".join(f"{value:.1f}" for times in (calls, probes) for value in _summary(times))
    return f"| {name} | {len(statuses)} | {', '.join(map(str, sorted(set(statuses))))} | {figures} |"


def _until(end: float, times: list[float], ask: Callable[[], object]) -> None:
    while time.monotonic() < end:
        began = time.perf_counter()
        ask()
        times.append(1e3 * (time.perf_counter() - began))
        time.sleep(_PAUSE_SECONDS)


def _summary(times: list[float]) -> tuple[float, float, float]:
    found = sorted(times)
    return found[len(found) // 2], found[len(found) * 99 // 100], found[-1]


if __name__ == "__main__":
    sys.exit(main())
