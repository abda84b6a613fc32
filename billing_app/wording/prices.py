"""The wording of prices: what a plan costs, and what each of its charges does."""

from __future__ import annotations

from itertools import pairwise

from billing_app.domain.money import to_major
from billing_app.domain.terms import DEFAULT_METER_ID, Charge, Plan, Tier
from billing_app.wording.values import counted, exact_money, money, plural_of, quantity


def describe_plan(plan: Plan) -> str:
    """Return all terms of a plan: `$29.00 a month, 1,000 included units, $0.0125 per unit of overage`."""
    monthly = f"{money(plan.monthly_price_minor, plan.currency)} a month"
    charges = [describe_named_charge(charge, plan.currency) for charge in plan.charges]
    is_simple = len(charges) < 2 and all(charge.model == "per_unit" for charge in plan.charges)
    return (", " if is_simple else "; ").join([monthly, *charges])


def describe_named_charge(charge: Charge, currency: str) -> str:
    """Return the terms of a charge after the name of its meter, unless it is the default one."""
    terms = describe_charge(charge, currency)
    return terms if charge.meter.meter_id == DEFAULT_METER_ID else f"{charge.meter.name}: {terms}"


def describe_charge(charge: Charge, currency: str) -> str:
    """Return the terms of a charge: `1,000 included units, $0.0125 per unit of overage`."""
    unit = charge.meter.unit
    if charge.tiers:
        how = (
            "each tier has its own price"
            if charge.model == "graduated"
            else f"the tier reached sets the price of all {plural_of(unit)}"
        )
        tiers = _describe_tiers(charge, currency)
        return f"{tiers}; {how}" if len(charge.tiers) > 1 else tiers
    assert charge.included_units is not None
    included = charge.included_units
    start = f"{counted(included, f'included {unit}', f'included {plural_of(unit)}')}, " if included else ""
    if charge.model == "per_unit":
        assert charge.unit_price is not None
        price = f"{exact_money(charge.unit_price, currency)} per {unit}"
        return f"{start}{price} of overage" if included else price
    assert charge.package_size is not None
    assert charge.package_price_minor is not None
    price = money(charge.package_price_minor, currency)
    return f"{start}{price} for each package of {counted(charge.package_size, unit, plural_of(unit))}"


def _describe_tiers(charge: Charge, currency: str) -> str:
    """Return `up to 1,000 units at $0.02 per unit, up to 10,000 at $0.015, above 10,000 at $0.01`."""
    unit = charge.meter.unit
    first, *others = charge.tiers
    price = f"{exact_money(first.unit_price, currency)} per {unit}{_flat(first, currency)}"
    if first.up_to is None:
        return price
    words = [f"up to {counted(first.up_to, unit, plural_of(unit))} at {price}"]
    words += [_describe_tier(before, tier, currency) for before, tier in pairwise([first, *others])]
    return ", ".join(words)


def _describe_tier(before: Tier, tier: Tier, currency: str) -> str:
    assert before.up_to is not None
    bound = f"above {quantity(before.up_to)}" if tier.up_to is None else f"up to {quantity(tier.up_to)}"
    return f"{bound} at {exact_money(tier.unit_price, currency)}{_flat(tier, currency)}"


def _flat(tier: Tier, currency: str) -> str:
    """Return ` plus $5.00` if the tier has a flat price."""
    if not tier.flat_price_minor:
        return ""
    return f" plus {exact_money(to_major(tier.flat_price_minor, currency), currency)}"
