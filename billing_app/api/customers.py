"""Endpoints of customers and their subscriptions."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Query
from pydantic import BaseModel, Field

from billing_app.api.wire.calls import Caller
from billing_app.api.wire.idempotency import Created, OnceOnly
from billing_app.api.wire.openapi import refusals
from billing_app.api.wire.pagination import Page, Paged, page_of
from billing_app.api.wire.routing import resource
from billing_app.api.wire.values import Body, Currency, Day, Timestamp, Version
from billing_app.domain.actor import Permission
from billing_app.services.customers import customers, subscriptions
from billing_app.services.customers.rows import CustomerFilter, CustomerRow, CustomerSort, SubscriptionRow
from billing_app.services.shared.ids import get_number, public_id

router = resource("/customers", "Customers")


class AssignedPlan(BaseModel):
    """A plan version that a customer is on."""

    id: str = Field(examples=["plan_3"])
    name: str = Field(examples=["Team"])
    version: int = Field(examples=[2])


class Customer(BaseModel):
    """A customer. `plan` is today's plan (UTC), or null before the first day or after a cancellation."""

    id: str = Field(examples=["cus_12"])
    key: str = Field(examples=["acme"])
    name: str = Field(examples=["Acme Industrial Supply"])
    email: str = Field(examples=["billing@acme.example"])
    billing_address: str
    status: Literal["active", "suspended"]
    currency: Currency
    plan: AssignedPlan | None
    created_at: Timestamp
    version: int = Field(examples=[1])


class NewCustomer(Body):
    """The customer to create."""

    name: str = Field(examples=["Acme Industrial Supply"])
    email: str = Field(examples=["billing@acme.example"])
    plan_id: str = Field(examples=["plan_1"])
    key: str | None = Field(
        None,
        examples=["acme"],
        description="Your own ID for the customer. It can't be changed later. If omitted, it is generated from the name.",
    )
    billing_address: str = Field("", examples=["1 Market Street\nSpringfield"])
    start: Day | None = Field(
        None, description="The customer's first day on the plan. Defaults to the first day of this month."
    )


class CustomerChange(Body):
    """The fields to change. Omitted fields keep their values."""

    name: str | None = Field(None, examples=["Acme Supply"])
    email: str | None = None
    billing_address: str | None = None
    status: Literal["active", "suspended"] | None = None
    version: Version | None = None


class Subscription(BaseModel):
    """The plan that applies from a day on. If `plan` is null, the subscription ends before that day."""

    effective_from: Day
    plan: AssignedPlan | None


class Subscriptions(BaseModel):
    """All plans of a customer's subscription, oldest first."""

    items: list[Subscription]


class NewSubscription(Body):
    """The plan that applies from a day on."""

    plan_id: str | None = Field(examples=["plan_1"], description="Null cancels the subscription.")
    effective_from: Day
    confirm_unpriced: bool = Field(False, description="Allow recorded usage to lose its price.")
    version: Version | None = None


@router.get("")
def list_customers(
    call: Caller,
    paged: Paged,
    search: Annotated[str | None, Query(description="Part of the name, email or key, ignoring case.")] = None,
    status: Annotated[Literal["active", "suspended"] | None, Query()] = None,
    plan: Annotated[
        str | None, Query(min_length=1, description="A plan ID, or a plan name for all of its versions.")
    ] = None,
    sort: Annotated[
        CustomerSort,
        Query(
            description="A leading minus sorts in descending order. A cursor is only valid for the order it came from."
        ),
    ] = CustomerSort.NAME,
) -> Page[Customer]:
    """List customers.

    Sorting by `usage` (this month's) or `outstanding` uses figures that are recounted in the background
    every few seconds.
    """
    customer_filter = CustomerFilter(search=search, status=status, plan=plan)
    found = call.do(customers.list_customers, customer_filter, sort=sort, **paged)
    return page_of(found, customer_of)


@router.post(
    "",
    status_code=201,
    responses=refusals(
        "email_taken", "key_taken", "plan_not_found", "plan_archived", "invalid", "idempotency_conflict"
    ),
)
def create_customer(once: OnceOnly, body: NewCustomer) -> Customer:
    """Create a customer and its subscription to a plan."""

    def describe(created: CustomerRow) -> Created[Customer]:
        return Created(customer_of(created), f"/api/v1/customers/{created.public_id}")

    return once.create(
        Permission.WRITE_CUSTOMERS,
        Customer,
        describe,
        customers.create_customer,
        name=body.name,
        email=body.email,
        plan_id=get_number("plan", body.plan_id, "plan"),
        key=body.key,
        billing_address=body.billing_address,
        start=body.start,
    )


@router.get("/{customer}", responses=refusals("customer_not_found"))
def get_customer(call: Caller, customer: str) -> Customer:
    """Get a customer."""
    return customer_of(call.do(customers.get_customer, customer))


@router.patch("/{customer}", responses=refusals("customer_not_found", "email_taken", "stale"))
def update_customer(call: Caller, customer: str, body: CustomerChange) -> Customer:
    """Update a customer.

    Setting `status` to `suspended` rejects usage from now on; `active` ends the suspension. A suspended
    customer's subscription continues and is invoiced.
    """
    updated = call.do(
        customers.update_customer,
        customer,
        name=body.name,
        email=body.email,
        billing_address=body.billing_address,
        status=body.status,
        version=body.version,
    )
    return customer_of(updated)


@router.get("/{customer}/subscription", responses=refusals("customer_not_found"))
def list_subscriptions(call: Caller, customer: str) -> Subscriptions:
    """List a customer's past, current and upcoming plans."""
    return _subscriptions_of(call.do(subscriptions.list_subscriptions, customer))


@router.put(
    "/{customer}/subscription",
    responses=refusals(
        "customer_not_found", "plan_not_found", "stale", "currency_mismatch", "plan_archived",
        "period_closed", "usage_recorded", "usage_unpriced", "too_many_changes",
    ),
)  # fmt: skip
def set_plan(call: Caller, customer: str, body: NewSubscription) -> Subscriptions:
    """Change a customer's plan, or cancel the subscription, from a day on.

    This replaces any plans that were set for that day and later days. The days of an open month are priced
    again: the monthly price and the included units are split by days. Returns all plans of the
    subscription.
    """
    plan_id = None if body.plan_id is None else get_number("plan", body.plan_id, "plan")
    rows = call.do(
        subscriptions.set_plan,
        customer,
        plan_id=plan_id,
        effective_from=body.effective_from,
        confirm_unpriced=body.confirm_unpriced,
        version=body.version,
    )
    return _subscriptions_of(rows)


def customer_of(row: CustomerRow) -> Customer:
    """Build the customer to return."""
    return Customer(
        id=row.public_id,
        key=row.key,
        name=row.name,
        email=row.email,
        billing_address=row.billing_address,
        status=row.status.value,
        currency=row.currency,
        plan=_plan_of(row),
        created_at=row.created_at,
        version=row.version,
    )


def _plan_of(row: CustomerRow | SubscriptionRow) -> AssignedPlan | None:
    if row.plan_id is None:
        return None
    assert row.plan_name is not None
    assert row.plan_version is not None
    return AssignedPlan(id=public_id("plan", row.plan_id), name=row.plan_name, version=row.plan_version)


def _subscriptions_of(rows: tuple[SubscriptionRow, ...]) -> Subscriptions:
    return Subscriptions(
        items=[Subscription(effective_from=row.effective_from, plan=_plan_of(row)) for row in rows]
    )
