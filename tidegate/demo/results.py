"""What the steps of the demo add to: the checks of their results, and the figures of the report."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tidegate.demo.checks import Check


@dataclass(slots=True)
class Results:
    """The checks and figures of all steps."""

    checks: list[Check] = field(default_factory=list)
    report: dict[str, Any] = field(default_factory=dict)
