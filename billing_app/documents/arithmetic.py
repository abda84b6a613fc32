"""The wording of invoice lines: the title, and the arithmetic behind the amount."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from billing_app.domain.discounts import Part
from billing_app.domain.exact_amounts import ExactAmount
from billing_app.domain.lines import Line
from billing_app.domain.money import to_major
from billing_app.domain.terms import Aggregation
from billing_app.wording.values import (
    ARROW,
    MINUS,
    TIMES,
    day,
    day_range,
    exact_money,
    money,
    month,
    plan,
    quantity,
)

_QUANTITIES: dict[Aggregation, str] = {"sum": "used", "max": "at the peak", "unique": "unique"}
_PARTS: dict[Part, str] = {"base": "the monthly price of", "usage": "usage in"}


def title(line: Line) -> str:
    """Return the line's title: `Monthly price`, `Usage in October 2026`, or `API calls, Oct 15 – 31, 2026`."""
    if line.kind == "one_off" or line.usage_period is None:
        return line.description
    if line.discount_part is not None:
        return f"{line.discount_name}, on {_PARTS[line.discount_part]} {month(line.usage_period)}"
    days = "" if _is_whole_month(line) else f", {_days(line)}"
    if line.kind == "base":
        return f"Monthly price{days}"
    tier = f", tier {line.tier_number}" if line.model == "graduated" else ""
    return f"{line.meter_name}{days or f' in {month(line.usage_period)}'}{tier}"


def subtitle(line: Line) -> str:
    """Return what is shown below the title: the plan version, or what kind of line it is."""
    if line.kind == "discount":
        return "Discount"
    if line.item_date is not None:
        return f"One-off item of {day(line.item_date)}"
    return plan(line.plan_name, line.plan_version)


def badge(line: Line) -> str:
    """Return the mark of a line with late usage or a correction, otherwise an empty string."""
    if line.is_correction:
        return "Correction"
    return "Late usage" if line.kind == "late_usage" else ""


def priced_quantity(line: Line) -> str:
    """Return the quantity of a usage line or a one-off item: of a graduated tier, the units in that tier."""
    if line.model == "graduated" and line.billed_quantity is not None:
        return quantity(line.billed_quantity - (line.billed_quantity_before or 0))
    return "" if line.quantity is None else quantity(line.quantity)


def unit_price(line: Line, currency: str) -> str:
    """Return the price per unit, or `$3.00 per 5` for packages."""
    if line.package_size is not None and line.package_price_minor is not None:
        return f"{money(line.package_price_minor, currency)} per {quantity(line.package_size)}"
    return "" if line.unit_price is None else exact_money(line.unit_price, currency)


def sentences(line: Line, currency: str) -> list[str]:
    """Return how the amount was computed, one sentence a row.

    Own usage of a whole month is one row, and late usage is three: the price before, the price now, and the
    difference. A part of a month has another row before these that scales the terms.
    """
    if line.kind == "base":
        return _base(line, currency)
    if line.kind == "one_off":
        return _one_off(line, currency)
    if line.kind == "discount":
        return _discount(line, currency)
    rows = _scaled_terms(line)
    now = _price(line, _usage_now(line), currency)
    if line.kind != "late_usage":
        return [*rows, now]
    before = _price(line, _usage_before(line), currency)
    charged = money(line.already_charged_minor, currency)
    difference = (
        f"{money(line.rated_minor, currency)} {MINUS} {charged} already charged"
        f" = {money(line.amount_minor, currency)}"
    )
    return [*rows, f"Before: {before}", f"Now: {now}", difference]


def _is_whole_month(line: Line) -> bool:
    return line.days == line.days_in_month


def _days(line: Line) -> str:
    assert line.segment_start is not None
    assert line.segment_end is not None
    return day_range(line.segment_start, line.segment_end)


def _share(line: Line) -> str:
    return f"{TIMES} {line.days}/{line.days_in_month} days"


def _base(line: Line, currency: str) -> list[str]:
    if _is_whole_month(line) or line.monthly_price_minor is None:
        return []
    whole = f"{money(line.monthly_price_minor, currency)} {_share(line)}"
    return [_result(whole, line, line.exact_amount, line.rated_minor, currency)]


def _one_off(line: Line, currency: str) -> list[str]:
    assert line.quantity is not None
    assert line.unit_price is not None
    if line.quantity == 1 and line.exact_amount == to_major(line.amount_minor, currency):
        return []
    text = f"{quantity(line.quantity)} {TIMES} {exact_money(line.unit_price, currency)}"
    return [_result(text, line, line.exact_amount, line.rated_minor, currency)]


def _discount(line: Line, currency: str) -> list[str]:
    """Write a discount with positive amounts: `20% of $6.63 = $1.326 → $1.33`, or `$10.00 off`."""
    now = _Deduction(
        line.discounted_minor or 0, line.discount_available_minor or 0, line.exact_amount, line.rated_minor
    )
    if not line.already_charged_minor:
        return [_deduct(line, now, currency)]
    before = _Deduction(
        line.discounted_minor_before or 0,
        line.discount_available_minor_before or 0,
        line.exact_amount_before,
        line.already_charged_minor,
    )
    difference = (
        f"{money(-line.rated_minor, currency)} {MINUS} {money(-line.already_charged_minor, currency)}"
        f" already deducted = {money(-line.amount_minor, currency)}"
    )
    return [f"Before: {_deduct(line, before, currency)}", f"Now: {_deduct(line, now, currency)}", difference]


class _Deduction(NamedTuple):
    """What a discount takes from an amount: with all usage that is billed so far, or as it was before.

    `available_minor` is what an amount off has not yet taken from another part of the bill.
    """

    discounted_minor: int
    available_minor: int
    exact_amount: Decimal
    rounded_minor: int


def _deduct(line: Line, deduction: _Deduction, currency: str) -> str:
    discounted = money(deduction.discounted_minor, currency)
    if line.discount_percent is not None:
        text = f"{quantity(line.discount_percent)}% of {discounted}"
        return _result(text, line, -deduction.exact_amount, -deduction.rounded_minor, currency)
    text = f"{money(line.discount_amount_minor or 0, currency)} off"
    if deduction.available_minor != line.discount_amount_minor:
        text = f"{money(deduction.available_minor, currency)} remaining of {text}"
    is_limited = deduction.discounted_minor < deduction.available_minor
    return f"{text}, limited to {discounted}" if is_limited else text


class _Usage(NamedTuple):
    """A charge's usage and its price: with all that is billed so far, or with what was billed before."""

    used: Decimal
    billed: Decimal
    packages: int | None
    tier_number: int | None
    above: Decimal | None
    up_to: Decimal | None
    unit_price: Decimal | None
    flat_price_minor: int | None
    exact_amount: Decimal
    rounded_minor: int


def _usage_now(line: Line) -> _Usage:
    assert line.quantity_after is not None
    assert line.billed_quantity is not None
    return _Usage(
        used=line.quantity_after,
        billed=line.billed_quantity,
        packages=line.packages,
        tier_number=line.tier_number,
        above=line.tier_above,
        up_to=line.tier_up_to,
        unit_price=line.unit_price,
        flat_price_minor=line.flat_price_minor,
        exact_amount=line.exact_amount,
        rounded_minor=line.rated_minor,
    )


def _usage_before(line: Line) -> _Usage:
    assert line.quantity_before is not None
    assert line.billed_quantity_before is not None
    before = _usage_now(line)._replace(
        used=line.quantity_before,
        billed=line.billed_quantity_before,
        packages=line.packages_before,
        exact_amount=line.exact_amount_before,
        rounded_minor=line.already_charged_minor,
    )
    if line.tier_number_before is None:
        return before
    return before._replace(
        tier_number=line.tier_number_before,
        above=line.tier_above_before,
        up_to=line.tier_up_to_before,
        unit_price=line.unit_price_before,
        flat_price_minor=line.flat_price_minor_before,
    )


def _scaled_terms(line: Line) -> list[str]:
    """Say what the included units or the bounds of the tier are in a part of a month."""
    if line.aggregation != "sum" or _is_whole_month(line):
        return []
    if line.included_units:
        assert line.included_quantity is not None
        included = quantity(line.included_units)
        return [f"{included} included {_share(line)} {ARROW} {quantity(line.included_quantity)}"]
    bounds = [(line.tier_above_units, line.tier_above), (line.tier_up_to_units, line.tier_up_to)]
    scaled = [
        f"{quantity(units)} {_share(line)} {ARROW} {quantity(bound)}"
        for units, bound in bounds
        if units and bound
    ]
    return [f"Tier {line.tier_number}: {', '.join(scaled)}"] if scaled else []


def _price(line: Line, usage: _Usage, currency: str) -> str:
    """Return `1,530 used − 1,000 included = 530 × $0.0125 = $6.625 → $6.63`, or that of another model."""
    assert line.aggregation is not None
    used = f"{quantity(usage.used)} {_QUANTITIES[line.aggregation]}"
    if usage.tier_number is not None:
        text = _in_tier(line, usage, used, currency)
    else:
        included = line.included_quantity
        assert included is not None
        if included and usage.used <= included:
            return f"{used}, within the {quantity(included)} included = {money(0, currency)}"
        over = (
            f"{used} {MINUS} {quantity(included)} included = {quantity(usage.billed)}" if included else used
        )
        text = f"{over}{_units_price(line, usage, currency)}"
    if line.aggregation != "sum" and not _is_whole_month(line):
        text = f"({text}) {_share(line)}" if " + " in text else f"{text} {_share(line)}"
    return _result(text, line, usage.exact_amount, usage.rounded_minor, currency)


def _units_price(line: Line, usage: _Usage, currency: str) -> str:
    """Return ` × $0.0125`, or `, in packages of 5: 4 × $3.00`."""
    if usage.packages is None:
        assert usage.unit_price is not None
        return f" {TIMES} {exact_money(usage.unit_price, currency)}"
    assert line.package_size is not None
    assert line.package_price_minor is not None
    price = money(line.package_price_minor, currency)
    return f", in packages of {quantity(line.package_size)}: {usage.packages:,} {TIMES} {price}"


def _in_tier(line: Line, usage: _Usage, used: str, currency: str) -> str:
    """Return `9,000 of 25,000 used (tier 2, above 1,000 up to 10,000) × $0.01 + $5.00 flat fee`."""
    assert usage.unit_price is not None
    units = used if usage.billed == usage.used else f"{quantity(usage.billed)} of {used}"
    bounds = [f"above {quantity(usage.above)}"] if usage.above else []
    bounds += [f"up to {quantity(usage.up_to)}"] if usage.up_to is not None else []
    tier = f" (tier {usage.tier_number}, {' '.join(bounds)})" if bounds else ""
    text = f"{units}{tier} {TIMES} {exact_money(usage.unit_price, currency)}"
    if not usage.flat_price_minor or not usage.billed:
        return text
    share = "" if line.aggregation != "sum" or _is_whole_month(line) else f" {_share(line)}"
    return f"{text} + {money(usage.flat_price_minor, currency)} flat fee{share}"


def _result(text: str, line: Line, numerator: Decimal, rounded_minor: int, currency: str) -> str:
    """Append ` = $6.625 → $6.63`, with a fraction such as `$493.00/31` if the amount has no end."""
    amount = ExactAmount(numerator, line.exact_denominator).text()
    exact = (
        f"{exact_money(numerator, currency)}/{line.exact_denominator}"
        if "/" in amount
        else exact_money(Decimal(amount), currency)
    )
    rounded = money(rounded_minor, currency)
    return f"{text} = {exact}" if exact == rounded else f"{text} = {exact} {ARROW} {rounded}"
