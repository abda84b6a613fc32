"""Invoice lines as the API answers them, with all of their arithmetic."""

from __future__ import annotations

from decimal import Decimal
from typing import TypedDict

from pydantic import BaseModel, Field

from billing_app.api.wire.values import Date, Money, Period, Quantity, WholeNumber
from billing_app.domain.discounts import Part
from billing_app.domain.exact_amounts import ExactAmount
from billing_app.domain.lines import Line, LineKind
from billing_app.domain.money import major_text
from billing_app.domain.terms import Model


class LineMeter(BaseModel):
    """The meter as it was when the invoice was created."""

    code: str = Field(examples=["api_calls"])
    name: str = Field(examples=["API calls"])
    unit: str = Field(examples=["call"])


class Segment(BaseModel):
    """The days that a line is for. `end` is excluded."""

    start: Date
    end: Date
    days: WholeNumber = Field(examples=[17])
    days_in_month: WholeNumber = Field(examples=[31])


class LineTier(BaseModel):
    """The tier that prices the units of a line: those above `from` up to and including `up_to`.

    The bounds are scaled to the days.
    """

    number: WholeNumber = Field(examples=[2])
    above: Quantity = Field(alias="from", serialization_alias="from")
    up_to: Quantity | None


class InvoiceLine(BaseModel):
    """One priced line, with the arithmetic that explains it.

    `amount` is `exact_amount` rounded half up. A line for an earlier `usage_period` charges a difference
    instead: `amount` is `rated`, the price now, minus `already_charged`, which earlier invoices charged. Each
    `..._before` is the value with the usage that was billed before. Fields that do not apply are null.
    """

    number: WholeNumber = Field(examples=[2], description="The position on the invoice, starting at 1.")
    kind: LineKind
    description: str = Field(examples=["Usage of 2026-10"])
    usage_period: Period | None
    segment: Segment | None
    plan_name: str | None = Field(examples=["Team"])
    plan_version: WholeNumber | None = Field(examples=[1])
    meter: LineMeter | None
    model: Model | None
    quantity: Quantity | None = Field(description="The charge's whole quantity, or what it changed by.")
    quantity_before: Quantity | None
    quantity_after: Quantity | None
    included_quantity: Quantity | None = Field(description="The included units, scaled to the days.")
    billed_quantity: Quantity | None = Field(description="The units that this line prices.")
    billed_quantity_before: Quantity | None
    tier: LineTier | None
    tier_before: LineTier | None
    unit_price: Quantity | None = Field(examples=["0.0125"])
    unit_price_before: Quantity | None
    flat_amount: Money | None = Field(description="The tier's flat price, of a whole month.")
    flat_amount_before: Money | None
    package_size: Quantity | None
    package_price: Money | None
    packages: WholeNumber | None
    packages_before: WholeNumber | None
    is_correction: bool
    discount: str | None = Field(description="The name of the discount.")
    applies_to: Part | None = Field(description="The part of the bill that the discount takes from.")
    exact_amount: str = Field(
        examples=["6.625"], description="The unrounded amount, a decimal or a fraction such as `493/31`."
    )
    rated: Money | None
    exact_amount_before: str | None
    already_charged: Money | None
    amount: Money = Field(examples=["6.63"])


def lines_of(lines: tuple[Line, ...], currency: str) -> list[InvoiceLine]:
    """Build the lines of an invoice or a preview."""
    return [_line_of(number, line, currency) for number, line in enumerate(lines, 1)]


def _line_of(number: int, line: Line, currency: str) -> InvoiceLine:
    is_late = line.kind == "late_usage"
    return InvoiceLine(
        **_amounts(line, currency),
        number=number,
        kind=line.kind,
        description=line.description,
        usage_period=line.usage_period,
        segment=_segment(line),
        plan_name=line.plan_name,
        plan_version=line.plan_version,
        meter=_meter(line),
        model=line.model,
        quantity=line.quantity,
        quantity_before=line.quantity_before if is_late else None,
        quantity_after=line.quantity_after if is_late else None,
        included_quantity=line.included_quantity,
        billed_quantity=line.billed_quantity,
        billed_quantity_before=line.billed_quantity_before if is_late else None,
        tier=_tier(line.tier_number, line.tier_above, line.tier_up_to),
        tier_before=_tier(line.tier_number_before, line.tier_above_before, line.tier_up_to_before),
        unit_price=line.unit_price,
        unit_price_before=line.unit_price_before,
        package_size=line.package_size,
        packages=line.packages,
        packages_before=line.packages_before if is_late else None,
        is_correction=line.is_correction,
        discount=line.discount_name,
        applies_to=line.discount_part,
    )


class _Amounts(TypedDict):
    flat_amount: str | None
    flat_amount_before: str | None
    package_price: str | None
    exact_amount: str
    rated: str | None
    exact_amount_before: str | None
    already_charged: str | None
    amount: str


def _amounts(line: Line, currency: str) -> _Amounts:
    """Return the fields of a line that are amounts of money. What a difference is made of is only in one."""
    is_difference = line.kind == "late_usage" or line.already_charged_minor != 0

    def money(amount_minor: int | None) -> str | None:
        return None if amount_minor is None else major_text(amount_minor, currency)

    def exact(numerator: Decimal) -> str:
        return ExactAmount(numerator, line.exact_denominator).text()

    return {
        "flat_amount": money(line.flat_price_minor),
        "flat_amount_before": money(line.flat_price_minor_before),
        "package_price": money(line.package_price_minor),
        "exact_amount": exact(line.exact_amount),
        "rated": money(line.rated_minor) if is_difference else None,
        "exact_amount_before": exact(line.exact_amount_before) if is_difference else None,
        "already_charged": money(line.already_charged_minor) if is_difference else None,
        "amount": major_text(line.amount_minor, currency),
    }


def _segment(line: Line) -> Segment | None:
    if line.segment_start is None or line.segment_end is None or not line.days or not line.days_in_month:
        return None
    return Segment(
        start=line.segment_start, end=line.segment_end, days=line.days, days_in_month=line.days_in_month
    )


def _meter(line: Line) -> LineMeter | None:
    if line.meter_code is None or line.meter_name is None or line.meter_unit is None:
        return None
    return LineMeter(code=line.meter_code, name=line.meter_name, unit=line.meter_unit)


def _tier(number: int | None, above: Decimal | None, up_to: Decimal | None) -> LineTier | None:
    if number is None or above is None:
        return None
    return LineTier.model_validate({"number": number, "from": above, "up_to": up_to})
