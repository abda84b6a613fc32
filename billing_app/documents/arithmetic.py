"""The wording of invoice lines: the title, and the arithmetic behind the amount."""

from __future__ import annotations

from decimal import Decimal

from billing_app.domain.lines import Line
from billing_app.wording.values import ARROW, MINUS, TIMES, exact_money, money, month, quantity


def title(line: Line) -> str:
    """Return the line's title: `Monthly price`, or `Usage in October 2026`."""
    if line.kind == "base" or line.usage_period is None:
        return "Monthly price"
    return f"Usage in {month(line.usage_period)}"


def sentences(line: Line, currency: str) -> list[str]:
    """Return how the amount was computed: nothing for `base`, one row for `overage`, three for `late_usage`."""
    if line.quantity_after is None or line.quantity_before is None:
        return []
    now = _rating(line, line.quantity_after, line.exact_amount, line.rated_minor, currency)
    if line.kind != "late_usage":
        return [now]
    before = _rating(
        line, line.quantity_before, line.exact_amount_before, line.already_charged_minor, currency
    )
    charged = money(line.already_charged_minor, currency)
    difference = (
        f"{money(line.rated_minor, currency)} {MINUS} {charged} already charged"
        f" = {money(line.amount_minor, currency)}"
    )
    return [f"Before: {before}", f"Now: {now}", difference]


def _rating(line: Line, used: Decimal, exact_amount: Decimal, rounded_minor: int, currency: str) -> str:
    """Return `1,530 used − 1,000 included = 530 × $0.0125 = $6.625 → $6.63`."""
    assert line.included_quantity is not None
    assert line.unit_price is not None
    included = line.included_quantity
    if used <= included:
        return f"{quantity(used)} used, within the {quantity(included)} included = {money(0, currency)}"
    exact, rounded = exact_money(exact_amount, currency), money(rounded_minor, currency)
    text = (
        f"{quantity(used)} used {MINUS} {quantity(included)} included = {quantity(used - included)}"
        f" {TIMES} {exact_money(line.unit_price, currency)} = {exact}"
    )
    return text if exact == rounded else f"{text} {ARROW} {rounded}"
