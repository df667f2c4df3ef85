from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc here")


def test_age_of_the_process() -> None:
    code = (
        "import time; from functions.runtime.observability.process import age_seconds as age; a = age(); time.sleep(0.3); print(a, age())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    first, second = map(float, done.stdout.split())
    assert first >= 0
    # The age has steps of 10 ms.
    assert second - first >= 0.28
