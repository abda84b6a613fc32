"""Rating: what a month's usage costs, and the lines that say so.

The one property everything rests on, arrival-order independence: however a usage month's total
is split over invoices, the amounts charged for it add up to `rate(plan, total)`. It holds because
each later line charges the difference between two totals and nothing is ever rated by itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal, NamedTuple

from billing_app.domain.money import EXACT, round_half_up, to_major
from billing_app.domain.periods import label

ZERO = Decimal(0)
LineKind = Literal["base", "overage", "late_usage"]


@dataclass(frozen=True, slots=True)
class Plan:
    """The terms of one version of a plan. `overage_unit_price` is in major units for one unit."""

    plan_id: int
    name: str
    version: int
    currency: str
    monthly_price_minor: int
    included_units: Decimal
    overage_unit_price: Decimal


class Rated(NamedTuple):
    """A rated quantity: the units beyond the included ones, their exact price and its rounding."""

    overage_quantity: Decimal
    exact_amount: Decimal
    amount_minor: int


def rate(plan: Plan, quantity: Decimal) -> Rated:
    """The overage for a whole month's quantity; rounded once, half up. Raises no float."""
    overage_quantity = max(ZERO, EXACT.subtract(quantity, plan.included_units))
    exact_amount = EXACT.multiply(overage_quantity, plan.overage_unit_price)
    return Rated(overage_quantity, exact_amount, round_half_up(exact_amount, plan.currency))


class Line(NamedTuple):
    """One priced row with all of its arithmetic.

    For `overage` and `late_usage`: `quantity_after = quantity_before + quantity`,
    `overage_quantity = max(0, quantity_after - included_quantity)`,
    `exact_amount = overage_quantity * unit_price`, `rated_minor` is its rounding and
    `amount_minor = rated_minor - already_charged_minor`. A `base` line has no quantities: its
    exact amount is the monthly price.
    """

    kind: LineKind
    description: str
    usage_period: date | None
    plan_name: str
    plan_version: int
    quantity: Decimal | None
    quantity_before: Decimal | None
    quantity_after: Decimal | None
    included_quantity: Decimal | None
    overage_quantity: Decimal | None
    unit_price: Decimal | None
    exact_amount: Decimal
    rated_minor: int
    exact_amount_before: Decimal
    already_charged_minor: int
    amount_minor: int


class LateUsage(NamedTuple):
    """What arrived late for one usage month: its plan, the total billed before, and the total now."""

    usage_period: date
    plan: Plan
    quantity_before: Decimal
    quantity_after: Decimal


def base_line(plan: Plan) -> Line:
    """The monthly price, owed whether anything was used or not."""
    price = to_major(plan.monthly_price_minor, plan.currency)
    return Line(
        "base", f"{plan.name}, monthly price", None, plan.name, plan.version,
        None, None, None, None, None, None,
        price, plan.monthly_price_minor, ZERO, 0, plan.monthly_price_minor,
    )  # fmt: skip


def overage_line(plan: Plan, usage_period: date, quantity: Decimal) -> Line:
    """The month's own usage; present at zero too, since it is the usage breakdown."""
    return _usage_line("overage", "Usage", LateUsage(usage_period, plan, ZERO, quantity))


def late_usage_line(late: LateUsage) -> Line:
    """Usage of an earlier month that was not billed yet, at that month's own price."""
    return _usage_line("late_usage", "Late usage", late)


def _usage_line(kind: LineKind, title: str, usage: LateUsage) -> Line:
    plan = usage.plan
    before, after = rate(plan, usage.quantity_before), rate(plan, usage.quantity_after)
    return Line(
        kind, f"{title} of {label(usage.usage_period)}", usage.usage_period, plan.name, plan.version,
        EXACT.subtract(usage.quantity_after, usage.quantity_before),
        usage.quantity_before, usage.quantity_after, plan.included_units, after.overage_quantity,
        plan.overage_unit_price, after.exact_amount, after.amount_minor,
        before.exact_amount, before.amount_minor, after.amount_minor - before.amount_minor,
    )  # fmt: skip


def invoice_lines(
    plan: Plan | None, period_start: date, quantity: Decimal, late: Iterable[LateUsage]
) -> tuple[Line, ...]:
    """The lines of one customer's invoice for one period, in the order they are shown.

    `plan` is None for a month after a cancellation: then only late usage is charged, and without
    any the result is empty, which means that there is nothing to invoice.
    """
    own = () if plan is None else (base_line(plan), overage_line(plan, period_start, quantity))
    return (*own, *(late_usage_line(each) for each in late))
