"""The frame of every process: its log, one line for an error that a user can fix, and its exit status."""

from __future__ import annotations

import sys
from collections.abc import Callable

from common import logs
from common.environ import Environ
from common.errors import TidegateError
from common.redaction import redact


def run_process(work: Callable[[], int], environ: Environ) -> int:
    """Run `work` and return its exit status, or 1 for a TidegateError.

    The error is the last line of standard error, `tidegate: <sentence>`, without credentials or a traceback:
    Kubernetes, `tidegate up` and `tidegate doctor` show it as the reason why the container ended. TIDEGATE_LOG_LEVEL
    sets the level of the log.
    """
    try:
        logs.to_stderr(logs.level_of(environ))
        return work()
    except TidegateError as error:
        print(f"tidegate: {redact(str(error))}", file=sys.stderr, flush=True)
        return 1
