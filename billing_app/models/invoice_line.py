"""Invoice lines, append-only. Their checks verify all arithmetic independently of the code that computed it.

No check divides: a share of a month, such as 17/31, has no exact decimal, so both sides are multiplied
instead. `10 ^ currency_exponent` minor units are one major unit.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKeyConstraint,
    Index,
    Integer,
    SmallInteger,
)
from sqlmodel import Field, SQLModel

from billing_app.models.columns import (
    customer_key_column,
    day_column,
    entered_column,
    exact_column,
    minor_column,
    summed_column,
    text_column,
)

_MINOR = "10::numeric ^ currency_exponent"
_USAGE = "kind IN ('overage', 'late_usage')"


def _share(part: str, whole: str) -> str:
    """Check that `part` is the days' share of `whole`, rounded half up to 6 decimals.

    The quantity of a meter that doesn't add up is that of the whole month, so its terms are not scaled.
    """
    doubled = f"2 * {whole} * 1000000 * days + days_in_month"
    return (
        f"CASE WHEN aggregation <> 'sum' OR days = days_in_month THEN {part} IS NOT DISTINCT FROM {whole}"
        f" WHEN {part} IS NULL OR {whole} IS NULL THEN {part} IS NULL AND {whole} IS NULL"
        f" ELSE 2 * days_in_month * {part} * 1000000 <= {doubled}"
        f" AND {doubled} < 2 * days_in_month * ({part} * 1000000 + 1) END"
    )


def _rounded(rounded: str, exact: str) -> str:
    """Check that `rounded` is the exact amount in minor units, halves away from zero."""
    doubled = f"2 * abs({exact}) * {_MINOR} + exact_denominator"
    return (
        # numeric round() rounds halves away from zero, as the domain does.
        f"CASE exact_denominator WHEN 1 THEN {rounded} = round({exact} * {_MINOR})"
        f" ELSE sign({rounded}) IN (0, sign({exact}))"
        f" AND 2 * exact_denominator * abs({rounded}) <= {doubled}"
        f" AND {doubled} < 2 * exact_denominator * (abs({rounded}) + 1) END"
    )


def _packages(packages: str, over: str) -> str:
    """Check that the packages are just enough for the units over the included ones."""
    return (
        f"{packages} * package_size >= {over} AND ({packages} - 1) * package_size < {over}"
        f" AND ({packages} > 0 OR {over} = 0)"
    )


def _exact(exact: str, units: str, packages: str, unit_price: str, flat: str) -> str:
    """Check the exact amount of a usage line, in minor units times the days of the month.

    For a meter that adds up, only a flat price is scaled by the days. For the others the whole amount is.
    """
    flat_minor = f"CASE WHEN {units} > 0 THEN {flat} ELSE 0 END"
    of_units = f"{units} * {unit_price} * {_MINOR}"
    return (
        f"{exact} * {_MINOR} * days_in_month = exact_denominator * CASE"
        f" WHEN model = 'per_unit' AND aggregation = 'sum' THEN {of_units} * days_in_month"
        f" WHEN model = 'per_unit' THEN {of_units} * days"
        f" WHEN model = 'package' AND aggregation = 'sum'"
        f" THEN {packages} * package_price_minor * days_in_month"
        f" WHEN model = 'package' THEN {packages} * package_price_minor * days"
        f" WHEN aggregation = 'sum' THEN {of_units} * days_in_month + ({flat_minor}) * days"
        f" ELSE ({of_units} + {flat_minor}) * days END"
    )


def _volume_tier(quantity: str, above: str, up_to: str, number: str) -> str:
    return f"({quantity} > {above} OR {number} = 1) AND ({quantity} <= {up_to} OR {up_to} IS NULL)"


# Which columns each kind of line has. A CHECK with the value NULL passes, so these refuse what is missing.
_WHOLE = {
    "known_kind": "kind IN ('base', 'overage', 'late_usage', 'discount', 'one_off')",
    "usage_period_of_kind": (
        "CASE kind WHEN 'one_off' THEN usage_period IS NULL"
        " WHEN 'discount' THEN usage_period <= period_start"
        " WHEN 'late_usage' THEN usage_period < period_start"
        " ELSE usage_period = period_start END IS TRUE"
    ),
    "days_of_kind": (
        "num_nulls(segment_start, segment_end, days, days_in_month, plan_name, plan_version)"
        " = CASE WHEN kind IN ('discount', 'one_off') THEN 6 ELSE 0 END"
    ),
    "base_of_kind": "(monthly_price_minor IS NOT NULL) = (kind = 'base')",
    "usage_of_kind": (
        "num_nulls(charge_position, meter_code, meter_name, meter_unit, aggregation, model, quantity,"
        " quantity_before, quantity_after, billed_quantity, billed_quantity_before)"
        f" = CASE WHEN {_USAGE} THEN 0 WHEN kind = 'one_off' THEN 10 ELSE 11 END"
        " AND (kind <> 'one_off' OR quantity IS NOT NULL)"
    ),
    "terms_of_model": (
        "CASE model WHEN 'per_unit' THEN num_nulls(included_units, included_quantity, unit_price) = 0"
        " AND num_nonnulls(package_size, package_price_minor, packages, packages_before, tier_number) = 0"
        " WHEN 'package' THEN num_nulls(included_units, included_quantity, package_size,"
        " package_price_minor, packages, packages_before) = 0 AND num_nonnulls(unit_price, tier_number) = 0"
        " WHEN 'graduated' THEN num_nulls(tier_number, unit_price) = 0 AND num_nonnulls(included_units,"
        " included_quantity, package_size, package_price_minor, packages, packages_before) = 0"
        " WHEN 'volume' THEN num_nulls(tier_number, unit_price) = 0 AND num_nonnulls(included_units,"
        " included_quantity, package_size, package_price_minor, packages, packages_before) = 0"
        " ELSE kind NOT IN ('overage', 'late_usage') AND num_nonnulls(included_units, included_quantity,"
        " package_size, package_price_minor, packages, packages_before, tier_number) = 0"
        " AND (unit_price IS NOT NULL) = (kind = 'one_off') END"
    ),
    "tier_whole": (
        "num_nulls(tier_number, tier_above, tier_above_units, flat_price_minor) IN (0, 4)"
        " AND (tier_number IS NOT NULL OR num_nonnulls(tier_up_to, tier_up_to_units) = 0)"
    ),
    "component_tier_of_model": (
        "component_tier IS NOT DISTINCT FROM CASE model WHEN 'graduated' THEN tier_number END"
    ),
    "tier_before_of_kind": (
        "num_nulls(tier_number_before, tier_above_before, unit_price_before, flat_price_minor_before)"
        " = CASE WHEN kind = 'late_usage' AND model = 'volume' THEN 0 ELSE 4 END"
        " AND (tier_number_before IS NOT NULL OR tier_up_to_before IS NULL)"
    ),
    "discount_of_kind": (
        "num_nulls(discount_number, discount_name, discount_part, discounted_minor,"
        " discounted_minor_before) = CASE kind WHEN 'discount' THEN 0 ELSE 5 END"
        " AND num_nonnulls(discount_percent, discount_amount_minor)"
        " = CASE kind WHEN 'discount' THEN 1 ELSE 0 END"
        " AND num_nulls(discount_amount_minor, discount_available_minor) IN (0, 2)"
    ),
    "item_of_kind": "num_nulls(item_key, item_date) = CASE kind WHEN 'one_off' THEN 0 ELSE 2 END",
    "nothing_before_of_kind": (
        "kind = 'late_usage' OR (kind = 'discount' AND usage_period < period_start)"
        " OR (exact_amount_before = 0 AND coalesce(quantity_before, 0) = 0"
        " AND coalesce(billed_quantity_before, 0) = 0 AND coalesce(packages_before, 0) = 0)"
    ),
}

_ARITHMETIC = {
    "line_number_positive": "line_number >= 1",
    "known_aggregation": "aggregation IN ('sum', 'max', 'unique')",
    "known_model": "model IN ('per_unit', 'package', 'graduated', 'volume')",
    "known_discount_part": "discount_part IN ('base', 'usage')",
    "days_rule": (
        "days = segment_end - segment_start AND days >= 1 AND segment_start >= usage_period"
        " AND segment_end <= (usage_period + interval '1 month')::date"
        " AND days_in_month = (usage_period + interval '1 month')::date - usage_period"
    ),
    "exact_denominator_rule": "exact_denominator IN (1, coalesce(days_in_month, 1))",
    "quantities_add_up": "quantity_after = quantity_before + quantity",
    "included_quantity_rule": _share("included_quantity", "included_units"),
    "tier_above_rule": _share("tier_above", "tier_above_units"),
    "tier_up_to_rule": _share("tier_up_to", "tier_up_to_units"),
    "billed_quantity_rule": (
        "CASE model WHEN 'graduated' THEN billed_quantity"
        " = greatest(0, least(quantity_after, tier_up_to) - tier_above)"
        " WHEN 'volume' THEN billed_quantity = quantity_after"
        " ELSE billed_quantity = greatest(0, quantity_after - included_quantity) END"
    ),
    "billed_quantity_before_rule": (
        "CASE model WHEN 'graduated' THEN billed_quantity_before"
        " = greatest(0, least(quantity_before, tier_up_to) - tier_above)"
        " WHEN 'volume' THEN billed_quantity_before = quantity_before"
        " ELSE billed_quantity_before = greatest(0, quantity_before - included_quantity) END"
    ),
    "volume_tier_rule": (
        f"model <> 'volume' OR ({_volume_tier('quantity_after', 'tier_above', 'tier_up_to', 'tier_number')})"
    ),
    "volume_tier_before_rule": (
        "model <> 'volume' OR kind <> 'late_usage' OR ("
        + _volume_tier("quantity_before", "tier_above_before", "tier_up_to_before", "tier_number_before")
        + ")"
    ),
    "packages_rule": (
        f"{_packages('packages', 'billed_quantity')} AND {_packages('packages_before', 'billed_quantity_before')}"
    ),
    "base_rule": (
        f"kind <> 'base' OR exact_amount * {_MINOR} * days_in_month"
        " = monthly_price_minor * days * exact_denominator"
    ),
    "usage_rule": f"NOT {_USAGE} OR ("
    + _exact("exact_amount", "billed_quantity", "packages", "unit_price", "flat_price_minor")
    + ")",
    "usage_before_rule": "kind <> 'late_usage' OR ("
    + _exact(
        "exact_amount_before",
        "billed_quantity_before",
        "packages_before",
        "coalesce(unit_price_before, unit_price)",
        "coalesce(flat_price_minor_before, flat_price_minor)",
    )
    + ")",
    "discount_rule": (
        "CASE WHEN kind <> 'discount' THEN true WHEN discount_percent IS NOT NULL"
        f" THEN exact_amount * 100 * {_MINOR} = -discounted_minor * discount_percent"
        f" AND exact_amount_before * 100 * {_MINOR} = -discounted_minor_before * discount_percent"
        f" ELSE exact_amount * {_MINOR} = -least(discounted_minor, discount_available_minor)"
        f" AND exact_amount_before * {_MINOR}"
        " = -least(discounted_minor_before, coalesce(discount_available_minor_before, 0)) END"
    ),
    "discount_limits": (
        "discounted_minor >= 0 AND discounted_minor_before >= 0 AND discount_percent > 0"
        " AND discount_percent <= 100 AND discount_amount_minor > 0"
        " AND discount_available_minor BETWEEN 0 AND discount_amount_minor"
        " AND discount_available_minor_before BETWEEN 0 AND discount_amount_minor"
    ),
    "one_off_rule": "kind <> 'one_off' OR exact_amount = quantity * unit_price",
    "rounded_half_up": _rounded("rated_minor", "exact_amount"),
    "rounded_half_up_before": _rounded("already_charged_minor", "exact_amount_before"),
    "amount_rule": "amount_minor = rated_minor - already_charged_minor",
}


class InvoiceLine(SQLModel, table=True):
    """One priced line. `billing_app.domain.lines.Line` says what its columns are."""

    __tablename__ = "invoice_line"
    __table_args__ = (
        ForeignKeyConstraint(
            ["customer_id", "period_start"], ["invoice.customer_id", "invoice.period_start"]
        ),
        *(CheckConstraint(rule, name=name) for name, rule in (_WHOLE | _ARITHMETIC).items()),
        # An invoice has one line for each component. Only of a graduated charge is each tier a component.
        Index(
            "uq_invoice_line_component",
            "customer_id",
            "period_start",
            "usage_period",
            "segment_start",
            "charge_position",
            "component_tier",
            "discount_number",
            "discount_part",
            "item_key",
            unique=True,
            postgresql_nulls_not_distinct=True,
        ),
    )

    customer_id: int = Field(sa_column=customer_key_column())
    period_start: date = Field(sa_column=Column(Date, primary_key=True))
    line_number: int = Field(sa_column=Column(SmallInteger, primary_key=True, autoincrement=False))
    currency_exponent: int = Field(sa_column=Column(SmallInteger, nullable=False))
    kind: str = Field(sa_column=text_column())
    description: str = Field(sa_column=text_column())
    usage_period: date | None = Field(default=None, sa_column=day_column(nullable=True))
    exact_amount: Decimal = Field(sa_column=exact_column())
    exact_denominator: int = Field(sa_column=Column(SmallInteger, nullable=False))
    rated_minor: Decimal = Field(sa_column=minor_column())
    exact_amount_before: Decimal = Field(sa_column=exact_column())
    already_charged_minor: Decimal = Field(sa_column=minor_column())
    amount_minor: Decimal = Field(sa_column=minor_column())
    segment_start: date | None = Field(default=None, sa_column=day_column(nullable=True))
    segment_end: date | None = Field(default=None, sa_column=day_column(nullable=True))
    days: int | None = Field(default=None, sa_column=Column(SmallInteger))
    days_in_month: int | None = Field(default=None, sa_column=Column(SmallInteger))
    plan_name: str | None = Field(default=None, sa_column=text_column(nullable=True))
    plan_version: int | None = Field(default=None, sa_column=Column(Integer))
    monthly_price_minor: Decimal | None = Field(default=None, sa_column=minor_column(nullable=True))
    charge_position: int | None = Field(default=None, sa_column=Column(SmallInteger))
    meter_code: str | None = Field(default=None, sa_column=text_column(nullable=True))
    meter_name: str | None = Field(default=None, sa_column=text_column(nullable=True))
    meter_unit: str | None = Field(default=None, sa_column=text_column(nullable=True))
    aggregation: str | None = Field(default=None, sa_column=text_column(nullable=True))
    model: str | None = Field(default=None, sa_column=text_column(nullable=True))
    quantity: Decimal | None = Field(default=None, sa_column=summed_column(nullable=True))
    quantity_before: Decimal | None = Field(default=None, sa_column=summed_column(nullable=True))
    quantity_after: Decimal | None = Field(default=None, sa_column=summed_column(nullable=True))
    included_units: Decimal | None = Field(default=None, sa_column=entered_column(nullable=True))
    included_quantity: Decimal | None = Field(default=None, sa_column=summed_column(nullable=True))
    billed_quantity: Decimal | None = Field(default=None, sa_column=summed_column(nullable=True))
    billed_quantity_before: Decimal | None = Field(default=None, sa_column=summed_column(nullable=True))
    unit_price: Decimal | None = Field(default=None, sa_column=entered_column(nullable=True))
    package_size: Decimal | None = Field(default=None, sa_column=entered_column(nullable=True))
    package_price_minor: Decimal | None = Field(default=None, sa_column=minor_column(nullable=True))
    packages: Decimal | None = Field(default=None, sa_column=minor_column(nullable=True))
    packages_before: Decimal | None = Field(default=None, sa_column=minor_column(nullable=True))
    component_tier: int | None = Field(default=None, sa_column=Column(SmallInteger))
    tier_number: int | None = Field(default=None, sa_column=Column(SmallInteger))
    tier_above: Decimal | None = Field(default=None, sa_column=summed_column(nullable=True))
    tier_up_to: Decimal | None = Field(default=None, sa_column=summed_column(nullable=True))
    tier_above_units: Decimal | None = Field(default=None, sa_column=entered_column(nullable=True))
    tier_up_to_units: Decimal | None = Field(default=None, sa_column=entered_column(nullable=True))
    flat_price_minor: Decimal | None = Field(default=None, sa_column=minor_column(nullable=True))
    tier_number_before: int | None = Field(default=None, sa_column=Column(SmallInteger))
    tier_above_before: Decimal | None = Field(default=None, sa_column=summed_column(nullable=True))
    tier_up_to_before: Decimal | None = Field(default=None, sa_column=summed_column(nullable=True))
    unit_price_before: Decimal | None = Field(default=None, sa_column=entered_column(nullable=True))
    flat_price_minor_before: Decimal | None = Field(default=None, sa_column=minor_column(nullable=True))
    is_correction: bool = Field(sa_column=Column(Boolean, nullable=False))
    discount_number: int | None = Field(default=None, sa_column=Column(Integer))
    discount_name: str | None = Field(default=None, sa_column=text_column(nullable=True))
    discount_part: str | None = Field(default=None, sa_column=text_column(nullable=True))
    discount_percent: Decimal | None = Field(default=None, sa_column=entered_column(nullable=True))
    discount_amount_minor: Decimal | None = Field(default=None, sa_column=minor_column(nullable=True))
    discounted_minor: Decimal | None = Field(default=None, sa_column=minor_column(nullable=True))
    discounted_minor_before: Decimal | None = Field(default=None, sa_column=minor_column(nullable=True))
    discount_available_minor: Decimal | None = Field(default=None, sa_column=minor_column(nullable=True))
    discount_available_minor_before: Decimal | None = Field(
        default=None, sa_column=minor_column(nullable=True)
    )
    item_key: str | None = Field(default=None, sa_column=text_column(nullable=True))
    item_date: date | None = Field(default=None, sa_column=day_column(nullable=True))
