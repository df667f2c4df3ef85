"""Quantities of Kubernetes, such as 100m or 128Mi, as exact numbers."""

from __future__ import annotations

import re
from decimal import Decimal

_FORM = re.compile(r"([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)(m|k|M|G|T|P|E|[KMGTPE]i|n|u|)")
_FACTORS = {"n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1)}
_FACTORS |= {suffix: Decimal(1000) ** power for power, suffix in enumerate("kMGTPE", start=1)}
_FACTORS |= {f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTPE", start=1)}


def parse(value: object) -> Decimal:
    """Cores, bytes or a count. An invalid quantity is 0, since the API server refuses it."""
    match = _FORM.fullmatch(str(value))
    try:
        return Decimal(match[1]) * _FACTORS[match[2]] if match else Decimal(0)
    except ArithmeticError:
        return Decimal(0)


def formatted(value: Decimal, name: str) -> str:
    """The value in the unit that people write for this resource."""
    if "memory" in name or "storage" in name:
        return f"{value / 1024**2:.0f}Mi"
    if "cpu" in name:
        return f"{value * 1000:.0f}m" if value % 1 else f"{value:.0f}"
    return f"{value.normalize():f}"
