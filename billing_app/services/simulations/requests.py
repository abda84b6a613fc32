"""Check what a simulation is asked for, and store it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

from sqlmodel import Session

from billing_app.database.session import now
from billing_app.domain.actor import Actor, Permission
from billing_app.domain.currencies import exponent
from billing_app.domain.money import plain
from billing_app.domain.periods import period_of
from billing_app.domain.terms import Charge, Meter, Plan, Tier
from billing_app.errors import Invalid
from billing_app.services.customers.queries import get_customer_id
from billing_app.services.plans.charges import parse_charges, parse_monthly_price
from billing_app.services.plans.meter_queries import read_usable_meters
from billing_app.services.plans.queries import find_plan, with_charges
from billing_app.services.shared import validation
from billing_app.services.shared.permissions import require
from billing_app.services.simulations.rows import (
    UNSAVED,
    CustomersGiven,
    Selection,
    SimulationRequest,
    TermsGiven,
)


def check_request(
    session: Session,
    actor: Actor,
    *,
    period_start: date,
    customers: CustomersGiven,
    plan_id: int | None = None,
    terms: TermsGiven | None = None,
) -> SimulationRequest:
    """Check what to simulate: a month that has begun, some customers, and either a plan version or terms.

    Terms must be what a new plan version could have. Archived plan versions can be simulated.

    Raises:
        Invalid: naming the field that breaks a rule.
        NotFound: `customer_not_found`, `plan_not_found` or `meter_not_found`.
    """
    require(actor, Permission.READ)
    period_start = validation.period("period", period_start)
    if period_start > period_of(now(session)):
        raise Invalid("period", "after_this_month")
    if sum(each is not None for each in customers) != 1:
        raise Invalid("customers", "not_one_selection")
    if terms is not None:
        if plan_id is not None:
            raise Invalid("terms", "not_with_plan_id")
        plan = _check_terms(session, terms)
    elif plan_id is None:
        raise Invalid("plan_id", "missing")
    else:
        plan = with_charges(session, find_plan(session, plan_id)).terms
    return SimulationRequest(period_start, _check_customers(session, customers), plan)


def _check_terms(session: Session, given: TermsGiven) -> Plan:
    """Parse terms as those of a new plan version. Raises Invalid for a field of `terms`."""
    try:
        currency, monthly_price_minor = parse_monthly_price(given.currency, given.monthly_price)
        charges = parse_charges(given.charges, currency, read_usable_meters(session))
    except Invalid as error:
        raise Invalid.from_errors(
            [replace(each, field=f"terms.{each.field}") for each in error.errors]
        ) from None
    return Plan(UNSAVED, "", 0, currency, monthly_price_minor, charges)


def _check_customers(session: Session, given: CustomersGiven) -> Selection:
    if given.customer is not None:
        return Selection(customer_id=get_customer_id(session, given.customer))
    if given.plan_id is not None:
        return Selection(plan_id=find_plan(session, given.plan_id).plan_id)
    currency = validation.line("customers.currency", given.currency, at_most=3)
    validation.parsed("customers.currency", exponent, currency)
    return Selection(currency=currency)


def request_as_json(request: SimulationRequest) -> dict[str, Any]:
    """Return what a JSONB column holds of a request. Equal requests for one month have equal JSON."""
    selection = {name: value for name, value in request.selection._asdict().items() if value is not None}
    if request.is_saved:
        return {"customers": selection, "plan_id": request.plan.plan_id}
    terms = {
        "currency": request.plan.currency,
        "monthly_price_minor": request.plan.monthly_price_minor,
        "charges": [_charge_as_json(charge) for charge in request.plan.charges],
    }
    return {"customers": selection, "terms": terms}


def _charge_as_json(charge: Charge) -> dict[str, Any]:
    return {
        "meter_id": charge.meter.meter_id,
        "model": charge.model,
        "included_units": _if_given(plain, charge.included_units),
        "unit_price": _if_given(plain, charge.unit_price),
        "package_size": _if_given(plain, charge.package_size),
        "package_price_minor": charge.package_price_minor,
        "tiers": [
            [_if_given(plain, tier.up_to), plain(tier.unit_price), tier.flat_price_minor]
            for tier in charge.tiers
        ],
    }


def terms_from_json(stored: Mapping[str, Any], meters: Mapping[int, Meter]) -> Plan:
    """Read the terms of a request. `meters` has every meter by its id."""
    charges = tuple(_charge_from_json(each, meters) for each in stored["charges"])
    return Plan(UNSAVED, "", 0, stored["currency"], stored["monthly_price_minor"], charges)


def _charge_from_json(stored: Mapping[str, Any], meters: Mapping[int, Meter]) -> Charge:
    return Charge(
        meter=meters[stored["meter_id"]],
        model=stored["model"],
        included_units=_if_given(Decimal, stored["included_units"]),
        unit_price=_if_given(Decimal, stored["unit_price"]),
        package_size=_if_given(Decimal, stored["package_size"]),
        package_price_minor=stored["package_price_minor"],
        tiers=tuple(
            Tier(_if_given(Decimal, up_to), Decimal(unit_price), flat_price_minor)
            for up_to, unit_price, flat_price_minor in stored["tiers"]
        ),
    )


def _if_given(convert: Callable[[Any], Any], value: object) -> Any:
    return None if value is None else convert(value)
