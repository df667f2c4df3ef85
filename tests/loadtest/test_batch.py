"""The whole measurement on few rows: it runs, and a killed batch gives the same digest."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_measurement_compares_a_batch_with_the_library_and_with_json(tmp_path: Path) -> None:
    options = ["--rows", "70000", "--json-rows", "2000", "--rounds", "1", "--kills", "1", "--folder", str(tmp_path)]
    done = subprocess.run([sys.executable, "-m", "loadtest.batch", *options], capture_output=True, text=True, check=False, env=os.environ)
    assert done.returncode == 0, done.stderr
    assert "| tidegate batch |" in done.stdout
    assert "1 kills: the same digest" in done.stdout
