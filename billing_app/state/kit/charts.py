"""Points of charts. Their numbers only say where a mark is drawn; what is read is the text beside."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from math import ceil
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


@dataclass(frozen=True)
class Curve:
    """A line through a few points at equal distances, and the marks of its scale from the top down."""

    points: list[dict[str, Any]] = field(default_factory=list)
    marks: list[float] = field(default_factory=list)
    line: str = ""


def curve(name: str, points: list[dict[str, Any]]) -> Curve:
    """The points' series of this name as a line in a square of 100 by 100, where 0 is the top."""
    top = _above(max(each[name] for each in points))
    places = [100 - 100 * each[name] / top for each in points]
    distance = 100 / (len(points) - 1)
    return Curve(
        points=[{**each, "top": f"{place:.2f}%"} for each, place in zip(points, places, strict=True)],
        marks=[top, top / 2, 0],
        line=" ".join(f"{number * distance:.2f},{place:.2f}" for number, place in enumerate(places)),
    )


def _above(value: float) -> float:
    """The end of a scale whose half is a twentieth of a power of ten, so that it reads well."""
    if value <= 0:
        return 2.0
    half = Decimal(str(value)) / 2
    twentieth = Decimal(1).scaleb(half.adjusted() + 1) / 20
    return float(2 * twentieth * ceil(half / twentieth))
