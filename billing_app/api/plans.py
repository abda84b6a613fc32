"""Endpoints of plans."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel, Field

from billing_app.api.wire.calls import Caller
from billing_app.api.wire.idempotency import Created, OnceOnly
from billing_app.api.wire.openapi import refusals
from billing_app.api.wire.pagination import Page, Paged, page_of
from billing_app.api.wire.routing import resource
from billing_app.api.wire.values import Body, Currency, ExactNumber, Money, Quantity, Timestamp
from billing_app.domain import terms
from billing_app.domain.actor import Permission
from billing_app.domain.money import major_text
from billing_app.domain.terms import CHARGES_MAX, TIERS_MAX, Model
from billing_app.services.plans import plans
from billing_app.services.plans.charges import ChargeTerms, PriceModel, TierTerms
from billing_app.services.plans.rows import PlanRow
from billing_app.services.shared.ids import get_number

router = resource("/plans", "Plans")


class Tier(BaseModel):
    """A tier of a `graduated` or `volume` charge. The last one has no `up_to`."""

    up_to: Quantity | None
    unit_price: Quantity
    flat_price: Money


class Charge(BaseModel):
    """The price of one meter's usage. Terms that the model does not have are null."""

    meter: str = Field(examples=["api_calls"])
    model: Model
    included_units: Quantity | None
    unit_price: Quantity | None
    package_size: Quantity | None
    package_price: Money | None
    tiers: list[Tier]


class Plan(BaseModel):
    """One version of a plan.

    `included_units` and `overage_unit_price` are given if they and the monthly price are all of the terms.
    """

    id: str = Field(examples=["plan_3"])
    name: str = Field(examples=["Team"])
    version: int = Field(examples=[1])
    currency: Currency
    monthly_price: Money
    charges: list[Charge] = Field(description="In the order in which invoices show them.")
    included_units: Quantity | None = Field(examples=["1000"])
    overage_unit_price: Quantity | None = Field(examples=["0.0125"])
    archived: bool
    created_at: Timestamp
    customers: int | None = Field(
        description="Customers on this version this month. Null except in lists.", examples=[3]
    )


class NewTier(Body):
    """A tier of a `graduated` or `volume` charge: the price of units up to and including `up_to`."""

    up_to: ExactNumber | None = Field(None, examples=["1000"], description="Null for the last tier.")
    unit_price: ExactNumber = Field(examples=["0.01"], description="In major units. At most 12 decimals.")
    flat_price: ExactNumber = Field(
        "0", examples=["5.00"], description="Charged once when the tier has units, in major units."
    )


class NewCharge(Body):
    """The price of one meter's usage. Each model has terms of its own.

    `per_unit`: `included_units`, `unit_price`. `package`: `included_units`, `package_size`, `package_price`,
    where a started package counts. `graduated`: `tiers`, each with its own price for the units that fall in
    it. `volume`: `tiers`, of which the one that the quantity reaches prices all units.
    """

    meter: str = Field("usage", examples=["api_calls"], description="The code of a meter.")
    model: PriceModel
    included_units: ExactNumber | None = Field(None, examples=["1000"])
    unit_price: ExactNumber | None = Field(None, examples=["0.0125"])
    package_size: ExactNumber | None = Field(None, examples=["100"])
    package_price: ExactNumber | None = Field(None, examples=["3.00"])
    tiers: list[NewTier] = Field(default_factory=list, max_length=TIERS_MAX)


class NewPlan(Body):
    """The terms of a plan version. They can't be changed later.

    Give either `charges`, or `included_units` and `overage_unit_price` for one price per unit of usage.
    """

    name: str = Field(examples=["Team"])
    currency: str = Field("USD", examples=["USD"], description="ISO 4217.")
    monthly_price: ExactNumber = Field(
        examples=["29.00"], description="In major units, with at most as many decimals as the currency has."
    )
    charges: list[NewCharge] | None = Field(
        None, max_length=CHARGES_MAX, description="In the order in which invoices show them."
    )
    included_units: ExactNumber | None = Field(
        None, examples=["1000"], description="Units per month that the monthly price covers."
    )
    overage_unit_price: ExactNumber | None = Field(
        None,
        examples=["0.0125"],
        description="In major units, for each unit above the included units. At most 12 decimals.",
    )


_CREATED_OR_EXISTING: dict[int | str, dict[str, Any]] = {
    200: {"model": Plan, "description": "The newest version already has these terms."},
    **refusals("invalid", "meter_not_found", "idempotency_conflict"),
}


@router.get("")
def list_plans(
    call: Caller,
    paged: Paged,
    archived: Annotated[
        bool | None, Query(description="True for archived versions only, false for the others.")
    ] = None,
) -> Page[Plan]:
    """List plan versions by name, the newest version of each plan first."""
    return page_of(call.do(plans.list_plans, archived=archived, **paged), plan_of)


@router.post("", status_code=201, responses=_CREATED_OR_EXISTING)
def create_plan(once: OnceOnly, body: NewPlan) -> Plan:
    """Create a plan, or a new version of an existing plan.

    If a plan with this name exists, ignoring case, this creates its next version. Customers stay on the
    version they have until you move them. If the newest version already has exactly these terms and is
    not archived, it is returned with status 200 and nothing is created.
    """

    def describe(plan: PlanRow) -> Created[Plan]:
        location = f"/api/v1/plans/{plan.public_id}"
        return Created(plan_of(plan), location, status=201 if plan.is_new else 200)

    return once.create(
        Permission.WRITE_CUSTOMERS,
        Plan,
        describe,
        plans.create_plan,
        name=body.name,
        currency=body.currency,
        monthly_price=body.monthly_price,
        included_units=body.included_units,
        overage_unit_price=body.overage_unit_price,
        charges=None if body.charges is None else [charge_terms(charge) for charge in body.charges],
    )


def charge_terms(charge: NewCharge) -> ChargeTerms:
    """Convert the charge of a request for a service."""
    tiers = [TierTerms(tier.unit_price, tier.up_to, tier.flat_price) for tier in charge.tiers]
    return ChargeTerms(**{**dict(charge), "tiers": tiers})


@router.get("/{plan}", responses=refusals("plan_not_found"))
def get_plan(call: Caller, plan: str) -> Plan:
    """Get one version of a plan."""
    return plan_of(call.do(plans.get_plan, get_number("plan", plan, "plan")))


@router.post("/{plan}/archive", responses=refusals("plan_not_found"))
def archive_plan(call: Caller, plan: str) -> Plan:
    """Archive a plan version.

    New customers can't be assigned to it. Customers who are on it stay on it. This can't be undone.
    """
    return plan_of(call.do(plans.archive_plan, get_number("plan", plan, "plan")))


def plan_of(row: PlanRow) -> Plan:
    """Build the plan to return."""
    simple = row.simple_charge
    return Plan(
        id=row.public_id,
        name=row.name,
        version=row.version,
        currency=row.currency,
        monthly_price=major_text(row.monthly_price_minor, row.currency),
        charges=[charge_of(charge, row.currency) for charge in row.charges],
        included_units=simple.included_units if simple else None,
        overage_unit_price=simple.unit_price if simple else None,
        archived=row.archived_at is not None,
        created_at=row.created_at,
        customers=row.customers,
    )


def charge_of(charge: terms.Charge, currency: str) -> Charge:
    """Build the charge to return."""
    return Charge(
        meter=charge.meter.code,
        model=charge.model,
        included_units=charge.included_units,
        unit_price=charge.unit_price,
        package_size=charge.package_size,
        package_price=None
        if charge.package_price_minor is None
        else major_text(charge.package_price_minor, currency),
        tiers=[
            Tier(
                up_to=tier.up_to,
                unit_price=tier.unit_price,
                flat_price=major_text(tier.flat_price_minor, currency),
            )
            for tier in charge.tiers
        ],
    )
