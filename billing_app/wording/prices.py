"""The wording of prices: what a plan costs, and what each of its charges does."""

from __future__ import annotations

from billing_app.domain.money import to_major
from billing_app.domain.terms import Charge, Plan, Tier
from billing_app.models.plan import DEFAULT_METER_ID
from billing_app.wording.values import exact_money, money, quantity


def describe_plan(plan: Plan) -> str:
    """Return all terms of a plan: `$29.00 a month, 1,000 units included, then $0.0125 per unit`."""
    monthly = f"{money(plan.monthly_price_minor, plan.currency)} a month"
    charges = [_describe_named(charge, plan.currency) for charge in plan.charges]
    return "; ".join([monthly, *charges]) if len(charges) > 1 else ", ".join([monthly, *charges])


def _describe_named(charge: Charge, currency: str) -> str:
    """Name the meter, unless it is the default one, whose usage is simply usage."""
    terms = describe_charge(charge, currency)
    return terms if charge.meter.meter_id == DEFAULT_METER_ID else f"{charge.meter.name}: {terms}"


def describe_charge(charge: Charge, currency: str) -> str:
    """Return the terms of a charge in words."""
    unit = charge.meter.unit
    if charge.tiers:
        how = (
            "each tier at its own price"
            if charge.model == "graduated"
            else "all at the price of the tier reached"
        )
        return f"{', '.join(_describe_tier(tier, unit, currency) for tier in charge.tiers)} ({how})"
    assert charge.included_units is not None
    start = f"{quantity(charge.included_units)} {unit}s included, then " if charge.included_units else ""
    if charge.model == "per_unit":
        assert charge.unit_price is not None
        return f"{start}{exact_money(charge.unit_price, currency)} per {unit}"
    assert charge.package_size is not None
    assert charge.package_price_minor is not None
    price = money(charge.package_price_minor, currency)
    return f"{start}{price} per {quantity(charge.package_size)} {unit}s, started ones included"


def _describe_tier(tier: Tier, unit: str, currency: str) -> str:
    bound = "beyond" if tier.up_to is None else f"up to {quantity(tier.up_to)}"
    flat = (
        f" plus {exact_money(to_major(tier.flat_price_minor, currency), currency)}"
        if tier.flat_price_minor
        else ""
    )
    return f"{bound} {exact_money(tier.unit_price, currency)} per {unit}{flat}"
