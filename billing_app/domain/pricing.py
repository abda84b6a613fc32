"""What a quantity costs under each price model."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from billing_app.domain.days import Share
from billing_app.domain.exact_amounts import NOTHING, ExactAmount
from billing_app.domain.money import EXACT, to_major
from billing_app.domain.terms import Charge, Model, Tier

ZERO = Decimal(0)


class TierRange(NamedTuple):
    """A tier with its bounds: the units above `above` up to and including `up_to`, if there is an upper bound.

    `number` counts from 1. For a share of a month, the bounds are scaled. `above_units` is the lower bound
    of a whole month.
    """

    number: int
    above: Decimal
    up_to: Decimal | None
    tier: Tier
    above_units: Decimal


class Price(NamedTuple):
    """What one component costs: the units that it prices, their exact amount, and that amount rounded.

    `packages` is the number of packages. `tier` is given for `graduated` and `volume`.
    """

    billed_quantity: Decimal
    packages: int | None
    tier: TierRange | None
    exact_amount: ExactAmount
    amount_minor: int


def price(charge: Charge, quantity: Decimal, share: Share, currency: str) -> tuple[Price, ...]:
    """Price the whole quantity of a charge in its span: one component, or one for each graduated tier.

    For a meter that adds up, included units and bounds of tiers are the span's share of the month's, and so
    is a flat price. For the other meters the quantity is that of the whole month, so the terms are the whole
    month's too, and the span's share is taken of the amount.
    """
    scale = share if charge.meter.adds_up else WHOLE
    unrounded = _MODELS[charge.model](charge, quantity, scale, currency)
    if not charge.meter.adds_up and not share.is_whole:
        unrounded = tuple(
            each._replace(exact_amount=_share_of_amount(each.exact_amount, share)) for each in unrounded
        )
    return tuple(each._replace(amount_minor=each.exact_amount.rounded(currency)) for each in unrounded)


WHOLE = Share(1, 1)


def _share_of_amount(whole: ExactAmount, share: Share) -> ExactAmount:
    return ExactAmount(EXACT.multiply(whole.numerator, Decimal(share.days)), share.days_in_month)


def included_quantity(charge: Charge, share: Share) -> Decimal:
    """Return the included units of a charge without tiers in its span."""
    assert charge.included_units is not None
    return (share if charge.meter.adds_up else WHOLE).of_quantity(charge.included_units)


@lru_cache(maxsize=4096)
def tier_ranges(charge: Charge, share: Share) -> tuple[TierRange, ...]:
    """Return the tiers of a charge with their bounds in its span."""
    scale = share if charge.meter.adds_up else WHOLE
    ranges: list[TierRange] = []
    above = above_units = ZERO
    for number, tier in enumerate(charge.tiers, 1):
        up_to = None if tier.up_to is None else scale.of_quantity(tier.up_to)
        ranges.append(TierRange(number, above, up_to, tier, above_units))
        above, above_units = up_to or above, tier.up_to or above_units
    return tuple(ranges)


def _over(charge: Charge, quantity: Decimal, scale: Share) -> Decimal:
    return max(ZERO, EXACT.subtract(quantity, included_quantity(charge, scale)))


def _price_units(charge: Charge, quantity: Decimal, scale: Share, currency: str) -> tuple[Price, ...]:
    assert charge.unit_price is not None
    over = _over(charge, quantity, scale)
    return (Price(over, None, None, ExactAmount(EXACT.multiply(over, charge.unit_price)), 0),)


def _price_packages(charge: Charge, quantity: Decimal, scale: Share, currency: str) -> tuple[Price, ...]:
    assert charge.package_size is not None
    assert charge.package_price_minor is not None
    over = _over(charge, quantity, scale)
    full, rest = EXACT.divide_int(over, charge.package_size), EXACT.remainder(over, charge.package_size)
    packages = int(full) + (1 if rest else 0)
    exact_amount = ExactAmount(to_major(packages * charge.package_price_minor, currency))
    return (Price(over, packages, None, exact_amount, 0),)


def _price_tiers(charge: Charge, quantity: Decimal, scale: Share, currency: str) -> tuple[Price, ...]:
    return tuple(
        _price_in_tier(each, _units_in(each, quantity), scale, currency)
        for each in tier_ranges(charge, scale)
    )


def _units_in(tier: TierRange, quantity: Decimal) -> Decimal:
    upper = quantity if tier.up_to is None else min(quantity, tier.up_to)
    return max(ZERO, EXACT.subtract(upper, tier.above))


def _price_volume(charge: Charge, quantity: Decimal, scale: Share, currency: str) -> tuple[Price, ...]:
    reached = next(
        each for each in tier_ranges(charge, scale) if each.up_to is None or quantity <= each.up_to
    )
    return (_price_in_tier(reached, quantity, scale, currency),)


def _price_in_tier(tier: TierRange, units: Decimal, scale: Share, currency: str) -> Price:
    """Price units at a tier's unit price, and add its flat price if there are any."""
    amount = ExactAmount(EXACT.multiply(units, tier.tier.unit_price)) if units else NOTHING
    flat = to_major(tier.tier.flat_price_minor, currency)
    if units and flat and scale.is_whole:
        amount = ExactAmount(EXACT.add(amount.numerator, flat))
    elif units and flat:
        month = Decimal(scale.days_in_month)
        parts = EXACT.multiply(amount.numerator, month), EXACT.multiply(flat, Decimal(scale.days))
        amount = ExactAmount(EXACT.add(*parts), scale.days_in_month)
    return Price(units, None, tier, amount, 0)


_MODELS: dict[Model, Callable[[Charge, Decimal, Share, str], tuple[Price, ...]]] = {
    "per_unit": _price_units,
    "package": _price_packages,
    "graduated": _price_tiers,
    "volume": _price_volume,
}
