"""Invoice lines: the difference between two bills of a month, with all of its arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from datetime import date
from decimal import Decimal
from types import MappingProxyType
from typing import Literal, NamedTuple

from billing_app.domain.bill import (
    BasePrice,
    Bill,
    MonthTerms,
    Quantities,
    UsageKey,
    UsagePrice,
    bill,
    usage_keys,
)
from billing_app.domain.days import Share
from billing_app.domain.discounts import DiscountPart, Part
from billing_app.domain.exact_amounts import NOTHING, ExactAmount
from billing_app.domain.money import EXACT
from billing_app.domain.periods import label
from billing_app.domain.pricing import Price, included_quantity
from billing_app.domain.terms import Aggregation, Model

LineKind = Literal["base", "overage", "late_usage", "discount", "one_off"]
ComponentPart = Literal["base", "usage", "discount"]
ZERO = Decimal(0)
_NONE: Quantities = MappingProxyType({})


class Component(NamedTuple):
    """What identifies a component of a month's bill among all of the customer's invoice lines."""

    usage_period: date | None
    segment_start: date | None
    charge_position: int | None
    tier: int | None
    discount_number: int | None
    discount_part: Part | None

    @property
    def part(self) -> ComponentPart:
        """The part of the bill that the component belongs to."""
        if self.discount_number is not None:
            return "discount"
        return "base" if self.charge_position is None else "usage"


class Line(NamedTuple):
    """One priced line of an invoice. What does not apply to its kind is None.

    Each `..._before` is the value with the usage that was billed before the invoice's period.
    `exact_amount` is `exact_amount / exact_denominator` in major units. `rated_minor` is that amount rounded,
    and `amount_minor = rated_minor - already_charged_minor`.

    `included_quantity`, `tier_above` and `tier_up_to` are the plan's terms scaled to the days;
    `included_units`, `tier_above_units` and `tier_up_to_units` are the terms as the plan has them.
    """

    kind: LineKind
    description: str
    usage_period: date | None
    exact_amount: Decimal
    exact_denominator: int
    rated_minor: int
    exact_amount_before: Decimal
    already_charged_minor: int
    amount_minor: int
    # The days, and the plan of the first of them.
    segment_start: date | None = None
    segment_end: date | None = None
    days: int | None = None
    days_in_month: int | None = None
    plan_name: str | None = None
    plan_version: int | None = None
    monthly_price_minor: int | None = None
    # The charge.
    charge_position: int | None = None
    meter_code: str | None = None
    meter_name: str | None = None
    meter_unit: str | None = None
    aggregation: Aggregation | None = None
    model: Model | None = None
    quantity: Decimal | None = None
    quantity_before: Decimal | None = None
    quantity_after: Decimal | None = None
    included_units: Decimal | None = None
    included_quantity: Decimal | None = None
    billed_quantity: Decimal | None = None
    billed_quantity_before: Decimal | None = None
    unit_price: Decimal | None = None
    package_size: Decimal | None = None
    package_price_minor: int | None = None
    packages: int | None = None
    packages_before: int | None = None
    # The tier, and for late usage at a volume price the tier of before. `component_tier` is given for a
    # graduated price, where each tier is a component.
    component_tier: int | None = None
    tier_number: int | None = None
    tier_above: Decimal | None = None
    tier_up_to: Decimal | None = None
    tier_above_units: Decimal | None = None
    tier_up_to_units: Decimal | None = None
    flat_price_minor: int | None = None
    tier_number_before: int | None = None
    tier_above_before: Decimal | None = None
    tier_up_to_before: Decimal | None = None
    unit_price_before: Decimal | None = None
    flat_price_minor_before: int | None = None
    is_correction: bool = False
    # The discount. `discounted_minor` is what earlier discounts left of the part.
    discount_number: int | None = None
    discount_name: str | None = None
    discount_part: Part | None = None
    discount_percent: Decimal | None = None
    discount_amount_minor: int | None = None
    discounted_minor: int | None = None
    discounted_minor_before: int | None = None
    discount_available_minor: int | None = None
    discount_available_minor_before: int | None = None
    # The one-off item.
    item_key: str | None = None
    item_date: date | None = None

    @property
    def component(self) -> Component:
        """The component of the month's bill that the line charges."""
        return Component(
            self.usage_period,
            self.segment_start,
            self.charge_position,
            self.component_tier,
            self.discount_number,
            self.discount_part,
        )


class MonthUsage(NamedTuple):
    """A month's usage as one invoice sees it: all that is billed so far, and what was billed before.

    `arrived` names the usage of which events or corrections are billed by this invoice, and `corrected` that
    of which corrections are.
    """

    now: Quantities
    before: Quantities = _NONE
    arrived: AbstractSet[UsageKey] = frozenset()
    corrected: AbstractSet[UsageKey] = frozenset()


def month_lines(terms: MonthTerms, usage: MonthUsage) -> tuple[Line, ...]:
    """Return the lines of the invoiced month itself: the whole bill of the usage that is billed so far."""
    now = bill(terms, usage.now)
    return (
        *(_base_line(terms, each) for each in now.base),
        *(
            _usage_line("overage", terms, usage, each, price, None)
            for each in now.usage
            for index, price in enumerate(each.prices)
            if price.billed_quantity or index == 0 or not _is_graduated(each)
        ),
        *(_discount_line(terms, each, None) for each in now.discounts if each.amount_minor),
    )


def late_lines(terms: MonthTerms, usage: MonthUsage) -> tuple[Line, ...]:
    """Return the lines for late usage of an earlier month: what its bill has changed by."""
    now, before = bill(terms, usage.now), bill(terms, usage.before)
    return (
        *_late_usage_lines(terms, usage, now, before),
        *(
            _discount_line(terms, each, was)
            for each, was in zip(now.discounts, before.discounts, strict=True)
            if each.amount_minor != was.amount_minor
        ),
    )


class OneOff(NamedTuple):
    """A one-off item as an invoice charges it. `unit_price` is in major units, negative for a credit."""

    idempotency_key: str
    description: str
    item_date: date
    quantity: Decimal
    unit_price: Decimal


def one_off_line(item: OneOff, currency: str) -> Line:
    """Return the line of a one-off item, which is charged once and belongs to no bill."""
    exact_amount = ExactAmount(EXACT.multiply(item.quantity, item.unit_price))
    amount_minor = exact_amount.rounded(currency)
    return Line(
        kind="one_off",
        description=item.description,
        usage_period=None,
        exact_amount=exact_amount.numerator,
        exact_denominator=1,
        rated_minor=amount_minor,
        exact_amount_before=ZERO,
        already_charged_minor=0,
        amount_minor=amount_minor,
        quantity=item.quantity,
        unit_price=item.unit_price,
        item_key=item.idempotency_key,
        item_date=item.item_date,
    )


def _is_graduated(usage: UsagePrice) -> bool:
    return usage.span.charge.model == "graduated"


def _late_usage_lines(terms: MonthTerms, usage: MonthUsage, now: Bill, before: Bill) -> Iterator[Line]:
    for each, was in zip(now.usage, before.usage, strict=True):
        has_arrived = not usage.arrived.isdisjoint(usage_keys(each.span))
        has_changed = any(
            price.amount_minor != old.amount_minor for price, old in zip(each.prices, was.prices, strict=True)
        )
        if not has_arrived and not has_changed:
            continue
        pairs = list(zip(each.prices, was.prices, strict=True))
        shown = [(price, old) for price, old in pairs if price.billed_quantity or old.billed_quantity]
        for price, old in shown if _is_graduated(each) and shown else pairs[:1]:
            yield _usage_line("late_usage", terms, usage, each, price, (was, old))


def _base_line(terms: MonthTerms, base: BasePrice) -> Line:
    plan = base.segment.plan
    return Line(
        kind="base",
        description=f"{plan.name}, monthly price{_part_of_month(base.share)}",
        usage_period=terms.period_start,
        exact_amount=base.exact_amount.numerator,
        exact_denominator=base.exact_amount.denominator,
        rated_minor=base.amount_minor,
        exact_amount_before=ZERO,
        already_charged_minor=0,
        amount_minor=base.amount_minor,
        segment_start=base.segment.start,
        segment_end=base.segment.end,
        days=base.share.days,
        days_in_month=base.share.days_in_month,
        plan_name=plan.name,
        plan_version=plan.version,
        monthly_price_minor=plan.monthly_price_minor,
    )


def _part_of_month(share: Share) -> str:
    return "" if share.is_whole else f" for {share.days} of {share.days_in_month} days"


def _usage_line(
    kind: LineKind,
    terms: MonthTerms,
    usage: MonthUsage,
    now: UsagePrice,
    price: Price,
    before: tuple[UsagePrice, Price] | None,
) -> Line:
    """Return the line of one component. `before` is None for the invoiced month's own usage."""
    span, charge, meter = now.span, now.span.charge, now.span.charge.meter
    was, old = before if before else (None, None)
    quantity_before = was.quantity if was else ZERO
    is_correction = bool(usage.corrected) and not usage.corrected.isdisjoint(usage_keys(span))
    line = _amounts(kind, terms, price, old)._replace(
        description=_describe_usage(kind, terms, now, price, is_correction=is_correction),
        segment_start=span.start,
        segment_end=span.end,
        days=now.share.days,
        days_in_month=now.share.days_in_month,
        plan_name=span.plan.name,
        plan_version=span.plan.version,
        charge_position=span.position,
        meter_code=meter.code,
        meter_name=meter.name,
        meter_unit=meter.unit,
        aggregation=meter.aggregation,
        model=charge.model,
        quantity=EXACT.subtract(now.quantity, quantity_before),
        quantity_before=quantity_before,
        quantity_after=now.quantity,
        is_correction=is_correction,
    )
    return _with_tier(line, price, old) if charge.tiers else _with_units(line, now, price, old)


def _amounts(kind: LineKind, terms: MonthTerms, price: Price, old: Price | None) -> Line:
    """Start the line of a usage component with its amounts, over one denominator, and its priced units."""
    exact_before = old.exact_amount if old else NOTHING
    denominator = max(price.exact_amount.denominator, exact_before.denominator)
    already_charged_minor = old.amount_minor if old else 0
    return Line(
        kind=kind,
        description="",
        usage_period=terms.period_start,
        exact_amount=price.exact_amount.over(denominator),
        exact_denominator=denominator,
        rated_minor=price.amount_minor,
        exact_amount_before=exact_before.over(denominator),
        already_charged_minor=already_charged_minor,
        amount_minor=price.amount_minor - already_charged_minor,
        billed_quantity=price.billed_quantity,
        billed_quantity_before=old.billed_quantity if old else ZERO,
    )


def _with_units(line: Line, now: UsagePrice, price: Price, old: Price | None) -> Line:
    """Add the terms of a charge for each unit or for packages."""
    charge = now.span.charge
    return line._replace(
        included_units=charge.included_units,
        included_quantity=included_quantity(charge, now.share),
        unit_price=charge.unit_price,
        package_size=charge.package_size,
        package_price_minor=charge.package_price_minor,
        packages=price.packages,
        packages_before=None if price.packages is None else (old.packages if old else 0),
    )


def _with_tier(line: Line, price: Price, old: Price | None) -> Line:
    """Add the tier, and for late usage at a volume price also the tier that priced it before."""
    assert price.tier is not None
    reached, tier = price.tier, price.tier.tier
    line = line._replace(
        component_tier=reached.number if line.model == "graduated" else None,
        tier_number=reached.number,
        tier_above=reached.above,
        tier_up_to=reached.up_to,
        tier_above_units=reached.above_units,
        tier_up_to_units=tier.up_to,
        unit_price=tier.unit_price,
        flat_price_minor=tier.flat_price_minor,
    )
    if line.model != "volume" or line.kind != "late_usage":
        return line
    assert old is not None
    assert old.tier is not None
    return line._replace(
        tier_number_before=old.tier.number,
        tier_above_before=old.tier.above,
        tier_up_to_before=old.tier.up_to,
        unit_price_before=old.tier.tier.unit_price,
        flat_price_minor_before=old.tier.tier.flat_price_minor,
    )


def _describe_usage(
    kind: LineKind, terms: MonthTerms, usage: UsagePrice, price: Price, *, is_correction: bool
) -> str:
    """Say in words what a usage line is for, such as "API calls of 2026-10, tier 2, late"."""
    words = [f"{usage.span.charge.meter.name} of {label(terms.period_start)}{_part_of_month(usage.share)}"]
    if price.tier and _is_graduated(usage):
        words.append(f"tier {price.tier.number}")
    if kind == "late_usage":
        words.append("late")
    if is_correction:
        words.append("corrected")
    return ", ".join(words)


def _discount_line(terms: MonthTerms, now: DiscountPart, before: DiscountPart | None) -> Line:
    discount = now.discount
    already_charged_minor = before.amount_minor if before else 0
    of_month = f", {label(terms.period_start)}" if before else ""
    return Line(
        kind="discount",
        description=f"{discount.name}, on {_PART_WORDS[now.part]}{of_month}",
        usage_period=terms.period_start,
        exact_amount=now.exact_amount.numerator,
        exact_denominator=1,
        rated_minor=now.amount_minor,
        exact_amount_before=before.exact_amount.numerator if before else ZERO,
        already_charged_minor=already_charged_minor,
        amount_minor=now.amount_minor - already_charged_minor,
        discount_number=discount.number,
        discount_name=discount.name,
        discount_part=now.part,
        discount_percent=discount.percent,
        discount_amount_minor=discount.amount_minor,
        discounted_minor=now.discounted_minor,
        discounted_minor_before=before.discounted_minor if before else 0,
        discount_available_minor=now.available_minor,
        discount_available_minor_before=before.available_minor if before else None,
    )


_PART_WORDS: dict[Part, str] = {"base": "the monthly price", "usage": "usage"}
