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
from billing_app.domain.actor import Permission
from billing_app.domain.money import major_text
from billing_app.services.plans import plans
from billing_app.services.plans.rows import PlanRow
from billing_app.services.shared.ids import get_number

router = resource("/plans", "Plans")


class Plan(BaseModel):
    """One version of a plan. `overage_unit_price` is the price of each unit of overage, in major units."""

    id: str = Field(examples=["plan_3"])
    name: str = Field(examples=["Team"])
    version: int = Field(examples=[1])
    currency: Currency
    monthly_price: Money
    included_units: Quantity = Field(examples=["1000"])
    overage_unit_price: Quantity = Field(examples=["0.0125"])
    archived: bool
    created_at: Timestamp
    customers: int | None = Field(
        description="Customers on this version this month. Null except in lists.", examples=[3]
    )


class NewPlan(Body):
    """The terms of a plan version. They can't be changed later."""

    name: str = Field(examples=["Team"])
    currency: str = Field("USD", examples=["USD"], description="ISO 4217.")
    monthly_price: ExactNumber = Field(
        examples=["29.00"], description="In major units, with at most as many decimals as the currency has."
    )
    included_units: ExactNumber = Field(
        examples=["1000"], description="Units per month that the monthly price covers."
    )
    overage_unit_price: ExactNumber = Field(
        examples=["0.0125"],
        description="In major units, for each unit above the included units. At most 12 decimals.",
    )


_CREATED_OR_EXISTING: dict[int | str, dict[str, Any]] = {
    200: {"model": Plan, "description": "The newest version already has these terms."},
    **refusals("invalid", "idempotency_conflict"),
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
    )


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
