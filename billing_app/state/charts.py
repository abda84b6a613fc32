"""Points of charts. Their numbers only say where a mark is drawn; what is read is the text beside."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

Value = tuple[Decimal | int, str]


def point(label: str, x: Decimal | int | None = None, /, **series: Value) -> dict[str, Any]:
    """A point: what it is called, its place along a scale if there is one, and each series' value.

    A value is where it is drawn and what it says: `base=(Decimal("29.00"), "$29.00")`.
    """
    made: dict[str, Any] = {"label": label}
    if x is not None:
        made["x"] = float(x)
    for name, (number, text) in series.items():
        made[name] = float(number)
        made[f"{name}_text"] = text
    return made
