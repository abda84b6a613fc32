"""What a customer's invoices must say, computed from events, plans and discounts alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal

from billing_app.domain.bill import MonthTerms, UsageKey, month_terms
from billing_app.domain.days import Segment
from billing_app.domain.lines import Component, Line, MonthUsage, late_lines, month_lines, one_off_line
from billing_app.domain.money import EXACT
from billing_app.domain.pricing import ZERO
from billing_app.domain.terms import Aggregation
from billing_app.services.verification.accounts import Account, UsageSum

Charges = Mapping[Component, int]
"""The amount of each component of a month, in minor units."""
IsBilled = Callable[[date], bool]
"""Whether usage that is billed in this period counts."""


def expected_lines(account: Account, period_start: date) -> tuple[Line, ...]:
    """Compute the lines of an invoice."""
    lines: list[Line] = []
    if segments := account.segments_in(period_start):
        terms = _terms(account, segments, period_start)
        lines += month_lines(terms, _usage(account, segments, period_start))
    late = {
        usage.usage_period
        for usage in account.usage
        if usage.billing_period == period_start and usage.usage_period < period_start
    }
    for month in sorted(late):
        if segments := account.segments_in(month):
            usage = _usage(account, segments, month, through=period_start)
            lines += late_lines(_terms(account, segments, month), usage)
    lines += (one_off_line(item, account.customer.currency) for item in account.items_in(period_start))
    return tuple(lines)


def with_copied_names(expected: Line, found: Line) -> Line:
    """Return the expected line with the name and unit of the meter as the invoice copied them.

    They may have changed since. The line's description starts with the name.
    """
    if expected.meter_name is None or found.meter_name is None:
        return expected
    if (found.meter_name, found.meter_unit) == (expected.meter_name, expected.meter_unit):
        return expected
    return expected._replace(
        meter_name=found.meter_name,
        meter_unit=found.meter_unit,
        description=found.meter_name + expected.description.removeprefix(expected.meter_name),
    )


def _terms(account: Account, segments: tuple[Segment, ...], month: date) -> MonthTerms:
    return month_terms(month, segments, account.discounts)


def expected_charges(account: Account, month: date, is_billed: IsBilled) -> Charges:
    """Compute what all invoices together must have charged for each component of a month, in minor units."""
    segments = account.segments_in(month)
    if not segments:
        return {}
    usage = MonthUsage(_quantities(account, segments, month, is_billed))
    return {
        line.component: line.amount_minor for line in month_lines(_terms(account, segments, month), usage)
    }


def _usage(
    account: Account, segments: tuple[Segment, ...], month: date, *, through: date | None = None
) -> MonthUsage:
    """Return a month's usage as the invoice of `through` sees it, by default that of the month itself."""
    period = through or month
    billed = [
        usage for usage in account.usage if usage.usage_period == month and usage.billing_period == period
    ]
    return MonthUsage(
        _quantities(account, segments, month, lambda billed: billed <= period),
        _quantities(account, segments, month, lambda billed: billed < period) if through else {},
        {_key(account, segments, usage) for usage in billed} if through else frozenset(),
        {_key(account, segments, usage) for usage in billed if usage.corrections},
    )


def _quantities(
    account: Account, segments: tuple[Segment, ...], month: date, is_billed: IsBilled
) -> dict[UsageKey, Decimal]:
    """Return the quantities of all meters, of the usage of a month whose billing periods count."""
    quantities: defaultdict[UsageKey, Decimal] = defaultdict(lambda: ZERO)
    for usage in account.usage:
        if usage.usage_period != month or not is_billed(usage.billing_period):
            continue
        key = _key(account, segments, usage)
        aggregation: Aggregation = account.aggregations[usage.meter_id]
        if aggregation == "sum":
            quantities[key] = EXACT.add(quantities[key], usage.quantity)
        elif aggregation == "max":
            quantities[key] = max(quantities[key], usage.largest)
    for item in account.items:
        if item.usage_period == month and is_billed(item.billing_period):
            quantities[UsageKey(item.meter_id, None)] += 1
    for meter_id in {each.meter_id for each in account.restated if each.usage_period == month}:
        quantities[UsageKey(meter_id, None)] = _restate(account, month, meter_id, is_billed)
    return quantities


def _restate(account: Account, month: date, meter_id: int, is_billed: IsBilled) -> Decimal:
    """Return the quantity of a corrected meter that does not add up, from each event as it is now."""
    newest: dict[str, Decimal] = {}
    items: dict[str, str | None] = {}
    for each in account.restated:
        if (each.usage_period, each.meter_id) == (month, meter_id) and is_billed(each.billing_period):
            newest[each.idempotency_key] = each.quantity
            items.setdefault(each.idempotency_key, each.item)
    if account.aggregations[meter_id] == "max":
        return max(newest.values(), default=ZERO)
    return Decimal(len({items[key] for key, quantity in newest.items() if quantity}))


def _key(account: Account, segments: tuple[Segment, ...], usage: UsageSum) -> UsageKey:
    """Return what names the usage of a sum in the month's bill."""
    if account.aggregations[usage.meter_id] != "sum":
        return UsageKey(usage.meter_id, None)
    if usage.day is None:
        return UsageKey(usage.meter_id, segments[0].start)
    start = next((each.start for each in segments if each.start <= usage.day < each.end), None)
    return UsageKey(usage.meter_id, start)


def count_unpriced(account: Account) -> int:
    """Count the events with a quantity, as corrected, that the plan of their day has no charge for."""
    return sum(usage.used for usage in account.usage if usage.used and not _has_price(account, usage))


def _has_price(account: Account, usage: UsageSum) -> bool:
    day = usage.day or usage.usage_period
    for segment in account.segments_in(usage.usage_period):
        if segment.start <= day < segment.end:
            return any(charge.meter.meter_id == usage.meter_id for charge in segment.plan.charges)
    return False
