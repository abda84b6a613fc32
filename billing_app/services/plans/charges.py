"""Parse the prices that a caller gives for a new plan version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from billing_app.domain.currencies import exponent
from billing_app.domain.money import major_text, parse_amount_minor, parse_quantity, parse_unit_price
from billing_app.domain.rules import BrokenRule
from billing_app.domain.terms import CHARGES_MAX, DEFAULT_METER_CODE, TIERS_MAX, Charge, Meter, Tier
from billing_app.errors import Invalid, NotFound
from billing_app.services.shared import validation

DEFAULT_METER = DEFAULT_METER_CODE


class PriceModel(StrEnum):
    """How a quantity becomes an amount."""

    PER_UNIT = "per_unit"
    PACKAGE = "package"
    GRADUATED = "graduated"
    VOLUME = "volume"


@dataclass(frozen=True, slots=True)
class TierTerms:
    """A tier as a caller gives it. Prices are in major units; the last tier has no `up_to`."""

    unit_price: object
    up_to: object = None
    flat_price: object = 0


@dataclass(frozen=True, slots=True)
class ChargeTerms:
    """A charge as a caller gives it. Prices are in major units. `meter` is a meter's code.

    Each model has terms of its own and must be given no others.
    """

    model: object
    meter: object = DEFAULT_METER
    included_units: object = None
    unit_price: object = None
    package_size: object = None
    package_price: object = None
    tiers: Sequence[TierTerms] = field(default_factory=tuple)


_TERMS = {
    PriceModel.PER_UNIT: {"included_units", "unit_price"},
    PriceModel.PACKAGE: {"included_units", "package_size", "package_price"},
    PriceModel.GRADUATED: {"tiers"},
    PriceModel.VOLUME: {"tiers"},
}


def parse_monthly_price(currency: object, monthly_price: object) -> tuple[str, int]:
    """Parse the currency of a plan, and its monthly price into minor units.

    Raises:
        Invalid: `currency` or `monthly_price` breaks a rule.
    """
    code = validation.line("currency", currency, at_most=3)
    validation.parsed("currency", exponent, code)
    return code, validation.parsed("monthly_price", parse_amount_minor, monthly_price, code)


def parse_charges(
    given: Sequence[ChargeTerms], currency: str, meters: Mapping[str, Meter]
) -> tuple[Charge, ...]:
    """Parse the charges of a plan in this currency, in the order shown. `meters` are by code.

    Raises:
        Invalid: naming the field that breaks a rule, such as `charges.2.tiers.1.up_to`, counted from 1.
        NotFound: `meter_not_found`.
    """
    if len(given) > CHARGES_MAX:
        raise Invalid("charges", "too_many_items", at_most=CHARGES_MAX)
    charges = tuple(
        _parse_charge(f"charges.{number}", terms, currency, meters) for number, terms in enumerate(given, 1)
    )
    codes = [charge.meter.code for charge in charges]
    for number, code in enumerate(codes, 1):
        if code in codes[: number - 1]:
            raise Invalid(f"charges.{number}.meter", "meter_repeated")
    return charges


def _parse_charge(place: str, given: ChargeTerms, currency: str, meters: Mapping[str, Meter]) -> Charge:
    code = validation.line(f"{place}.meter", given.meter, at_most=63)
    if code not in meters:
        raise NotFound("meter_not_found", named=code)
    model = validation.choice(f"{place}.model", given.model, PriceModel)
    _refuse_other_terms(place, given, model)
    if model in (PriceModel.GRADUATED, PriceModel.VOLUME):
        tiers = _parse_tiers(place, given.tiers, currency)
        return Charge(meters[code], "graduated" if model is PriceModel.GRADUATED else "volume", tiers=tiers)
    included = validation.parsed(f"{place}.included_units", parse_quantity, given.included_units)
    if model is PriceModel.PER_UNIT:
        unit_price = validation.parsed(f"{place}.unit_price", parse_unit_price, given.unit_price)
        return Charge(meters[code], "per_unit", included_units=included, unit_price=unit_price)
    return Charge(
        meters[code],
        "package",
        included_units=included,
        package_size=validation.parsed(f"{place}.package_size", _parse_positive, given.package_size),
        package_price_minor=validation.parsed(
            f"{place}.package_price", parse_amount_minor, given.package_price, currency
        ),
    )


def _refuse_other_terms(place: str, given: ChargeTerms, model: PriceModel) -> None:
    """Refuse terms of another model, which would have no effect, and missing ones."""
    terms = {
        "included_units": given.included_units,
        "unit_price": given.unit_price,
        "package_size": given.package_size,
        "package_price": given.package_price,
        "tiers": given.tiers or None,
    }
    for name, value in terms.items():
        if value is None and name in _TERMS[model]:
            raise Invalid(f"{place}.{name}", "missing")
        if value is not None and name not in _TERMS[model]:
            raise Invalid(f"{place}.{name}", "not_a_term_of_model", model=str(model))


def _parse_tiers(place: str, given: Sequence[TierTerms], currency: str) -> tuple[Tier, ...]:
    if len(given) > TIERS_MAX:
        raise Invalid(f"{place}.tiers", "too_many_items", at_most=TIERS_MAX)
    tiers: list[Tier] = []
    for number, terms in enumerate(given, 1):
        at = f"{place}.tiers.{number}"
        is_last = number == len(given)
        if is_last != (terms.up_to is None):
            raise Invalid(f"{at}.up_to", "last_tier_has_no_bound" if is_last else "missing")
        up_to = None if is_last else validation.parsed(f"{at}.up_to", _parse_positive, terms.up_to)
        previous = tiers[-1].up_to if tiers else None
        if up_to is not None and previous is not None and up_to <= previous:
            raise Invalid(f"{at}.up_to", "not_ascending")
        tiers.append(
            Tier(
                up_to,
                validation.parsed(f"{at}.unit_price", parse_unit_price, terms.unit_price),
                validation.parsed(f"{at}.flat_price", parse_amount_minor, terms.flat_price, currency),
            )
        )
    return tuple(tiers)


def _parse_positive(value: object) -> Decimal:
    """Parse a quantity above zero. Raises BrokenRule."""
    quantity = parse_quantity(value)
    if not quantity:
        raise BrokenRule("not_positive")
    return quantity


def charges_as_given(charges: Sequence[Charge], currency: str) -> list[ChargeTerms]:
    """Write charges as a caller gives them, which `parse_charges` reads."""

    def amount(minor: int | None) -> str | None:
        return None if minor is None else major_text(minor, currency)

    return [
        ChargeTerms(
            model=charge.model,
            meter=charge.meter.code,
            included_units=charge.included_units,
            unit_price=charge.unit_price,
            package_size=charge.package_size,
            package_price=amount(charge.package_price_minor),
            tiers=[
                TierTerms(tier.unit_price, tier.up_to, amount(tier.flat_price_minor)) for tier in charge.tiers
            ],
        )
        for charge in charges
    ]
