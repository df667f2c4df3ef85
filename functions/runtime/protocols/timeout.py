"""How long the caller of a request waits, in a parameter of the Open Inference Protocol.

It is that of Triton's "Schedule Policy Extension":
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_schedule_policy.md
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from functions.runtime.errors import InvalidInput

PARAMETER = "timeout"


def timeout_of(parameters: Mapping[str, Any]) -> float | None:
    """Return the seconds of the parameter, which has microseconds; None without it and for 0. Raises InvalidInput."""
    timeout = parameters.get(PARAMETER)
    if timeout is None or timeout == 0:
        return None
    if type(timeout) is not int or timeout < 0:
        raise InvalidInput(f"the parameter timeout of the request is {timeout!r:.40}", remedy="send a whole number of microseconds")
    return timeout / 1e6
