from __future__ import annotations

import subprocess
import sys

from loadtest.chaos.plan import Fault
from tests.loadtest.chaos.planted import BUGS


def test_each_bug_can_be_planted_into_the_worker_as_it_is() -> None:
    # In a process of its own: what is planted stays.
    code = "from tests.loadtest.chaos.planted import BUGS\nfor bug in BUGS.values(): bug.plant()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_each_bug_names_faults_in_which_it_shows() -> None:
    assert len(BUGS) >= 11
    for bug in BUGS.values():
        assert {Fault[name] for name in bug.faults}
