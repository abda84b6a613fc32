"""The positions of a chart's points, and the end of its scale."""

from __future__ import annotations

from decimal import Decimal

import pytest

from billing_app.state.kit.charts import curve, point


@pytest.mark.parametrize(
    ("highest", "top"),
    [("1154.07", 1200), ("1090", 1100), ("54", 60), ("0.07", 0.07), ("100", 100), ("100.01", 110), ("0", 2)],
)
def test_scale_ends_at_a_round_number_above_all_values(highest: str, top: float) -> None:
    drawn = curve("cost", [point("0", cost=(0, "$0")), point("9", cost=(Decimal(highest), "all"))])
    assert drawn.marks == [top, top / 2, 0]


def test_curve_connects_its_points_from_left_to_right() -> None:
    costs = [("0", 29), ("1,000", 29), ("2,000", 41.5), ("3,000", 54)]
    drawn = curve("cost", [point(units, cost=(Decimal(cost), f"${cost}")) for units, cost in costs])
    assert drawn.line == "0.00,51.67 33.33,51.67 66.67,30.83 100.00,10.00"
    assert [each["top"] for each in drawn.points] == ["51.67%", "51.67%", "30.83%", "10.00%"]
