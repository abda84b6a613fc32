"""Customers, and the plan that each is on from which month."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Query
from pydantic import BaseModel, Field

from billing_app.api.wire.calls import Caller
from billing_app.api.wire.idempotency import Created, OnceOnly
from billing_app.api.wire.openapi import refusals
from billing_app.api.wire.pagination import Page, Paged, page_of
from billing_app.api.wire.routing import resource
from billing_app.api.wire.values import Body, Currency, Period, Timestamp, Version
from billing_app.domain.actor import Permission
from billing_app.services.customers import customers, subscriptions
from billing_app.services.customers.rows import CustomerFilter, CustomerRow, CustomerSort, SubscriptionRow
from billing_app.services.shared.ids import get_number, public_id

router = resource("/customers", "Customers")


class PlanOfCustomer(BaseModel):
    """The plan of the current month."""

    id: str = Field(examples=["plan_3"])
    name: str = Field(examples=["Team"])
    version: int = Field(examples=[2])


class Customer(BaseModel):
    """Who is billed. `plan` is null before the first month and after a cancellation."""

    id: str = Field(examples=["cus_12"])
    key: str = Field(examples=["acme"])
    name: str = Field(examples=["Acme Industrial Supply"])
    email: str = Field(examples=["billing@acme.example"])
    billing_address: str
    status: Literal["active", "suspended"]
    currency: Currency
    plan: PlanOfCustomer | None
    created_at: Timestamp
    version: int = Field(examples=[1])


class NewCustomer(Body):
    """A customer to be made. Without a key one is made from the name."""

    name: str = Field(examples=["Acme Industrial Supply"])
    email: str = Field(examples=["billing@acme.example"])
    plan_id: str = Field(examples=["plan_1"])
    key: str | None = Field(
        None, examples=["acme"], description="The caller's own id for it; never changes afterwards."
    )
    billing_address: str = Field("", examples=["1 Market Street\nSpringfield"])
    start_period: Period | None = Field(
        None, description="The first month on the plan; the current one if not given."
    )


class CustomerChange(Body):
    """What is to change; the rest stays."""

    name: str | None = Field(None, examples=["Acme Supply"])
    email: str | None = None
    billing_address: str | None = None
    status: Literal["active", "suspended"] | None = None
    version: Version | None = None


class Subscription(BaseModel):
    """From `effective_from` on the customer is on this plan; null: on none, a cancellation."""

    effective_from: Period
    plan: PlanOfCustomer | None


class Subscriptions(BaseModel):
    """All of a customer's plans, the oldest first."""

    items: list[Subscription]


class NewSubscription(Body):
    """The plan from a month on; null cancels from that month."""

    plan_id: str | None = Field(examples=["plan_1"])
    effective_from: Period
    version: Version | None = None


@router.get("")
def list_customers(
    call: Caller,
    paged: Paged,
    search: Annotated[str | None, Query(description="Within name, email or key, without case.")] = None,
    status: Annotated[Literal["active", "suspended"] | None, Query()] = None,
    plan: Annotated[str | None, Query(description="A plan's id, or its name for all versions.")] = None,
    sort: Annotated[
        CustomerSort,
        Query(description="The order, with a minus the other way round; a cursor is good for its own order."),
    ] = CustomerSort.NAME,
) -> Page[Customer]:
    """List customers, by name unless asked otherwise.

    By `usage` of this month and by `outstanding` they stand as of the last count, which is made in
    the background every some seconds.
    """
    chosen = CustomerFilter(search=search, status=status, plan=plan)
    found = call.do(customers.list_customers, chosen, sort=sort, **paged)
    return page_of(found, customer_of)


@router.post(
    "",
    status_code=201,
    responses=refusals(
        "email_taken", "key_taken", "plan_not_found", "plan_archived", "invalid", "idempotency_conflict"
    ),
)
def create_customer(once: OnceOnly, body: NewCustomer) -> Customer:
    """Create a customer that is on a plan from its first month."""

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
        start_period=body.start_period,
    )


@router.get("/{customer}", responses=refusals("customer_not_found"))
def get_customer(call: Caller, customer: str) -> Customer:
    """Get a customer by id or key."""
    return customer_of(call.do(customers.get_customer, customer))


@router.patch("/{customer}", responses=refusals("customer_not_found", "email_taken", "stale"))
def update_customer(call: Caller, customer: str, body: CustomerChange) -> Customer:
    """Change a customer.

    `suspended` refuses usage from this moment on, until `active` ends the suspension; the
    subscription goes on, and is invoiced.
    """
    changed = call.do(
        customers.update_customer,
        customer,
        name=body.name,
        email=body.email,
        billing_address=body.billing_address,
        status=body.status,
        version=body.version,
    )
    return customer_of(changed)


@router.get("/{customer}/subscription", responses=refusals("customer_not_found"))
def list_subscriptions(call: Caller, customer: str) -> Subscriptions:
    """List the plans that a customer was, is and will be on."""
    return _subscriptions_of(call.do(subscriptions.list_subscriptions, customer))


@router.put(
    "/{customer}/subscription",
    responses=refusals(
        "customer_not_found", "plan_not_found", "period_closed", "currency_mismatch",
        "plan_archived", "usage_recorded", "stale",
    ),
)  # fmt: skip
def set_plan(call: Caller, customer: str, body: NewSubscription) -> Subscriptions:
    """Set the plan from a month on, or cancel from it.

    Replaces whatever was set for that month and later. Answers all of the customer's plans.
    """
    plan_id = None if body.plan_id is None else get_number("plan", body.plan_id, "plan")
    rows = call.do(
        subscriptions.set_plan,
        customer,
        plan_id=plan_id,
        effective_from=body.effective_from,
        version=body.version,
    )
    return _subscriptions_of(rows)


def customer_of(row: CustomerRow) -> Customer:
    """The customer as it goes out."""
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


def _plan_of(row: CustomerRow | SubscriptionRow) -> PlanOfCustomer | None:
    if row.plan_id is None:
        return None
    assert row.plan_name is not None
    assert row.plan_version is not None
    return PlanOfCustomer(id=public_id("plan", row.plan_id), name=row.plan_name, version=row.plan_version)


def _subscriptions_of(rows: tuple[SubscriptionRow, ...]) -> Subscriptions:
    return Subscriptions(
        items=[Subscription(effective_from=row.effective_from, plan=_plan_of(row)) for row in rows]
    )
