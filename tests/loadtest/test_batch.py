"""The whole measurement on few rows: it runs, and batches whose every part is killed give the same digest."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

from loadtest.batch.kills import PARTS, order_of


def test_measurement_compares_a_batch_and_kills_every_part(tmp_path: Path) -> None:
    options = [
        "--rows",
        "70000",
        "--json-rows",
        "2000",
        "--rounds",
        "1",
        "--kills",
        "5",
        "--pause",
        "1",
        "--folder",
        str(tmp_path),
    ]
    done = subprocess.run([sys.executable, "-m", "loadtest.batch", *options], capture_output=True, text=True, check=False, env=os.environ)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| tidegate batch |" in done.stdout
    assert "kills: 1 driver, 1 function, 1 job, 1 router, 1 up" in done.stdout
    assert "the same digest as without a kill" in done.stdout


def test_order_of_kills_is_random_by_its_seed_and_fair() -> None:
    order = order_of(PARTS, 200, random.Random(1))  # noqa: S311
    assert set(Counter(order).values()) == {40}
    assert order == order_of(PARTS, 200, random.Random(1))  # noqa: S311
    assert order != order_of(PARTS, 200, random.Random(2))  # noqa: S311
