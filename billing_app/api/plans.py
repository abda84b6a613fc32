"""Plans: prices that never change once saved."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response
from pydantic import BaseModel, Field

from billing_app.api.wire.calls import Caller
from billing_app.api.wire.openapi import refusals
from billing_app.api.wire.pagination import Page, Paged, page_of
from billing_app.api.wire.routing import resource
from billing_app.api.wire.values import Body, Currency, ExactNumber, Money, Quantity, Timestamp
from billing_app.domain.money import major_text
from billing_app.services.plans import plans
from billing_app.services.plans.rows import PlanRow
from billing_app.services.shared.ids import get_number

router = resource("/plans", "Plans")


class Plan(BaseModel):
    """One version of a plan. `overage_unit_price` is in major units for one unit."""

    id: str = Field(examples=["plan_3"])
    name: str = Field(examples=["Team"])
    version: int = Field(examples=[1])
    currency: Currency
    monthly_price: Money
    included_units: Quantity = Field(examples=["1000"])
    overage_unit_price: Quantity = Field(examples=["0.0125"])
    archived: bool
    created_at: Timestamp
    customers: int | None = Field(description="How many are on it this month; in lists only.", examples=[3])


class NewPlan(Body):
    """The terms of a plan, for good."""

    name: str = Field(examples=["Team"])
    currency: str = Field("USD", examples=["USD"], description="ISO 4217.")
    monthly_price: ExactNumber = Field(
        examples=["29.00"], description="In major units, with no more decimals than the currency has."
    )
    included_units: ExactNumber = Field(examples=["1000"])
    overage_unit_price: ExactNumber = Field(
        examples=["0.0125"], description="In major units for one unit, at most 12 decimals."
    )


@router.get("")
def list_plans(
    call: Caller,
    paged: Paged,
    archived: Annotated[bool | None, Query(description="Only those, or only the others.")] = None,
) -> Page[Plan]:
    """List plans by name, the newest version of each first."""
    return page_of(call.do(plans.list_plans, archived=archived, **paged), plan_of)


@router.post("", status_code=201, responses=refusals("invalid"))
def create_plan(call: Caller, body: NewPlan, response: Response) -> Plan:
    """Make a plan, or the next version of one.

    A name already taken, whatever its case, gets its next version; customers move to it explicitly.
    """
    made = call.do(
        plans.create_plan,
        name=body.name,
        currency=body.currency,
        monthly_price=body.monthly_price,
        included_units=body.included_units,
        overage_unit_price=body.overage_unit_price,
    )
    response.headers["Location"] = f"/api/v1/plans/{made.public_id}"
    return plan_of(made)


@router.get("/{plan}", responses=refusals("plan_not_found"))
def get_plan(call: Caller, plan: str) -> Plan:
    """Get one version of a plan."""
    return plan_of(call.do(plans.get_plan, get_number("plan", plan, "plan")))


@router.post("/{plan}/archive", responses=refusals("plan_not_found"))
def archive_plan(call: Caller, plan: str) -> Plan:
    """Archive a plan: nobody new can be put on it, who is on it stays."""
    return plan_of(call.do(plans.archive_plan, get_number("plan", plan, "plan")))


def plan_of(row: PlanRow) -> Plan:
    """The plan as it goes out."""
    return Plan(
        id=row.public_id,
        name=row.name,
        version=row.version,
        currency=row.currency,
        monthly_price=major_text(row.monthly_price_minor, row.currency),
        included_units=row.included_units,
        overage_unit_price=row.overage_unit_price,
        archived=row.archived_at is not None,
        created_at=row.created_at,
        customers=row.customers,
    )
