"""Points of charts. The numbers are only for drawing; people read the texts."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from math import ceil
from typing import Any

Value = tuple[Decimal | int, str]


def point(label: str, x: Decimal | int | None = None, /, **series: Value) -> dict[str, Any]:
    """Build a point from its label, its position on a numeric scale, and the value of each series.

    A value is a number to draw and the text to show: `base=(Decimal("29.00"), "$29.00")`.
    """
    values: dict[str, Any] = {"label": label}
    if x is not None:
        values["x"] = float(x)
    for name, (number, text) in series.items():
        values[name] = float(number)
        values[f"{name}_text"] = text
    return values


@dataclass(frozen=True)
class Curve:
    """A line through a few equidistant points, and the labels of its scale from top to bottom."""

    points: list[dict[str, Any]] = field(default_factory=list)
    marks: list[float] = field(default_factory=list)
    line: str = ""


def curve(name: str, points: list[dict[str, Any]]) -> Curve:
    """Return a series as a line in a square of 100 by 100, where 0 is the top."""
    top = _round_up(max(each[name] for each in points))
    places = [100 - 100 * each[name] / top for each in points]
    distance = 100 / (len(points) - 1)
    return Curve(
        points=[{**each, "top": f"{place:.2f}%"} for each, place in zip(points, places, strict=True)],
        marks=[top, top / 2, 0],
        line=" ".join(f"{number * distance:.2f},{place:.2f}" for number, place in enumerate(places)),
    )


def _round_up(value: float) -> float:
    """Return the end of a scale, rounded so that it and its half have few digits."""
    if value <= 0:
        return 2.0
    half = Decimal(str(value)) / 2
    twentieth = Decimal(1).scaleb(half.adjusted() + 1) / 20
    return float(2 * twentieth * ceil(half / twentieth))
