"""Rate usage: what a month's usage costs, and the invoice lines that show it.

The code relies on one property, arrival-order independence: however a usage month's total is
split over invoices, the amounts charged for it add up to `rate(plan, total)`. It holds because each
later line charges the difference between two totals, and no part of a total is rated by itself.
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
    """The terms of one version of a plan. `overage_unit_price` is in major units per unit."""

    plan_id: int
    name: str
    version: int
    currency: str
    monthly_price_minor: int
    included_units: Decimal
    overage_unit_price: Decimal


class Rated(NamedTuple):
    """The overage of a quantity: its units, its exact price, and that price rounded."""

    overage_quantity: Decimal
    exact_amount: Decimal
    amount_minor: int


def rate(plan: Plan, quantity: Decimal) -> Rated:
    """Return what a whole month's quantity costs, rounded once, half up."""
    overage_quantity = max(ZERO, EXACT.subtract(quantity, plan.included_units))
    exact_amount = EXACT.multiply(overage_quantity, plan.overage_unit_price)
    return Rated(overage_quantity, exact_amount, round_half_up(exact_amount, plan.currency))


class Line(NamedTuple):
    """One priced invoice line with all of its arithmetic.

    For `overage` and `late_usage`: `quantity_after = quantity_before + quantity`,
    `overage_quantity = max(0, quantity_after - included_quantity)`,
    `exact_amount = overage_quantity * unit_price`, `rated_minor` is that amount rounded, and
    `amount_minor = rated_minor - already_charged_minor`. A `base` line has no quantities; its exact
    amount is the monthly price.
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
    """Late usage of one month: the month's plan, its total billed before, and its total now."""

    usage_period: date
    plan: Plan
    quantity_before: Decimal
    quantity_after: Decimal


def base_line(plan: Plan) -> Line:
    """Return the line for the monthly price, which is charged whether or not there was usage."""
    return Line(
        kind="base",
        description=f"{plan.name}, monthly price",
        usage_period=None,
        plan_name=plan.name,
        plan_version=plan.version,
        quantity=None,
        quantity_before=None,
        quantity_after=None,
        included_quantity=None,
        overage_quantity=None,
        unit_price=None,
        exact_amount=to_major(plan.monthly_price_minor, plan.currency),
        rated_minor=plan.monthly_price_minor,
        exact_amount_before=ZERO,
        already_charged_minor=0,
        amount_minor=plan.monthly_price_minor,
    )


def overage_line(plan: Plan, usage_period: date, quantity: Decimal) -> Line:
    """Return the line for usage in the invoiced month. There is one even if its amount is zero."""
    usage = LateUsage(usage_period, plan, quantity_before=ZERO, quantity_after=quantity)
    return _usage_line("overage", f"Usage of {label(usage_period)}", usage)


def late_usage_line(late: LateUsage) -> Line:
    """Return the line for late usage of an earlier month, at that month's own price."""
    return _usage_line("late_usage", f"Late usage of {label(late.usage_period)}", late)


def _usage_line(kind: LineKind, description: str, usage: LateUsage) -> Line:
    plan = usage.plan
    before, after = rate(plan, usage.quantity_before), rate(plan, usage.quantity_after)
    return Line(
        kind=kind,
        description=description,
        usage_period=usage.usage_period,
        plan_name=plan.name,
        plan_version=plan.version,
        quantity=EXACT.subtract(usage.quantity_after, usage.quantity_before),
        quantity_before=usage.quantity_before,
        quantity_after=usage.quantity_after,
        included_quantity=plan.included_units,
        overage_quantity=after.overage_quantity,
        unit_price=plan.overage_unit_price,
        exact_amount=after.exact_amount,
        rated_minor=after.amount_minor,
        exact_amount_before=before.exact_amount,
        already_charged_minor=before.amount_minor,
        amount_minor=after.amount_minor - before.amount_minor,
    )


def invoice_lines(
    plan: Plan | None, period_start: date, quantity: Decimal, late: Iterable[LateUsage]
) -> tuple[Line, ...]:
    """Return the lines of one customer's invoice for one period, in the order they are shown.

    `plan` is None for a month after a cancellation, when only late usage is charged. Without any,
    the result is empty, which means that there is nothing to invoice.
    """
    own = () if plan is None else (base_line(plan), overage_line(plan, period_start, quantity))
    return (*own, *(late_usage_line(each) for each in late))
