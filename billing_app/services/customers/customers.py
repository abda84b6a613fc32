"""Use cases of customers: create, find, list and change them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from itertools import islice
from typing import NamedTuple

from sqlalchemy import func, text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, select

from billing_app.database.session import now
from billing_app.domain.actor import Actor, Permission
from billing_app.domain.periods import period_of, previous_period
from billing_app.errors import BillingError, Conflict
from billing_app.models import Customer, CustomerBilling, CustomerFigures, Plan, Subscription
from billing_app.services.customers import suspensions
from billing_app.services.customers.keys import generate_keys, parse_key
from billing_app.services.customers.queries import find_customer_id, get_customer_id, lock_customer
from billing_app.services.customers.rows import (
    ALL_CUSTOMERS,
    CustomerFilter,
    CustomerRow,
    CustomerSort,
    CustomerStatus,
)
from billing_app.services.customers.selection import (
    count_selected,
    read_customer,
    read_page,
    select_customers,
    select_named,
)
from billing_app.services.plans.queries import find_plan, refuse_archived
from billing_app.services.shared import audit, gate, validation
from billing_app.services.shared.constraints import refused_as
from billing_app.services.shared.emails import email_key
from billing_app.services.shared.ids import public_id
from billing_app.services.shared.pagination import LIMIT_DEFAULT, Page
from billing_app.services.shared.permissions import require

# Covers all numbered keys (`acme`, `acme-2`, ...) and a few of those that end in random digits.
PROPOSED_KEYS_MAX = 25


class _Details(NamedTuple):
    """The values of a new customer, apart from its key and currency."""

    name: str
    email: str
    email_key: str
    billing_address: str
    created_at: datetime
    version: int = 1


def create_customer(
    session: Session,
    actor: Actor,
    *,
    name: str,
    email: str,
    plan_id: int,
    key: str | None = None,
    billing_address: str = "",
    start: date | None = None,
) -> CustomerRow:
    """Create a customer with a plan from its first day, by default the first of the current month.

    Email and key are unique among customers, ignoring case. Without `key` one is generated from the name.
    The gate is not needed: nothing can be recorded for a customer before it is committed.

    Raises:
        Invalid: naming the field that breaks a rule.
        NotFound: `plan_not_found`.
        Conflict: `email_taken`, `key_taken` or `plan_archived`.
    """
    require(actor, Permission.WRITE_CUSTOMERS)
    details = _Details(
        name=validation.line("name", name, at_most=validation.NAME_MAX),
        email=validation.email("email", email),
        email_key=email_key(email),
        billing_address=validation.paragraph("billing_address", billing_address),
        created_at=now(session),
    )
    given_key = None if key is None else parse_key(key)
    first_day = _first_day(session, start)
    plan = find_plan(session, plan_id)
    refuse_archived(plan)
    keys = [given_key] if given_key else generate_keys(details.name)
    customer_id = _insert_under_free_key(session, keys, details, plan.currency)
    _start_billing(session, customer_id, plan, first_day)
    created = read_customer(session, customer_id)
    _audit_creation(session, actor, created, public_id("plan", plan_id), first_day)
    return created


def _first_day(session: Session, start: date | None) -> date:
    return period_of(now(session)) if start is None else validation.day("start", start)


def _audit_creation(session: Session, actor: Actor, created: CustomerRow, plan: str, first_day: date) -> None:
    audit.record(
        session, actor, "customer.created", created.public_id,
        name=created.name, key=created.key, email=created.email, plan=plan,
        start=first_day.isoformat(),
    )  # fmt: skip


def propose_key(session: Session, actor: Actor, name: str) -> str:
    """Return the key that `create_customer` would generate for this name now."""
    require(actor, Permission.WRITE_CUSTOMERS)
    named = validation.line("name", name, at_most=validation.NAME_MAX)
    keys = list(islice(generate_keys(named), PROPOSED_KEYS_MAX))
    lower_key = func.lower(col(Customer.key))
    taken = set(session.exec(select(lower_key).where(lower_key.in_(keys))))
    return next((key for key in keys if key not in taken), keys[-1])


def _insert_under_free_key(session: Session, keys: Iterable[str], details: _Details, currency: str) -> int:
    """Insert the customer under the first free key and return its id.

    The unique indexes decide which key is free, so this is safe under concurrency.
    """
    with refused_as(uq_customer_email=_email_taken(details.email)):
        for key in keys:
            customer_id: int | None = session.scalar(
                insert(Customer)
                .values(key=key, currency=currency, **details._asdict())
                .on_conflict_do_nothing(index_elements=[text("lower(key)")])
                .returning(col(Customer.customer_id))
            )
            if customer_id is not None:
                return customer_id
    raise Conflict("key_taken", key=key)


def _start_billing(session: Session, customer_id: int, plan: Plan, first_day: date) -> None:
    """Add the rows that every customer has from the start."""
    before = previous_period(first_day.replace(day=1))
    session.add(CustomerBilling(customer_id=customer_id, closed_through=before, settled_through=before))
    # Lists are sorted by these figures, so a customer without a row would be missing until the next count.
    session.add(CustomerFigures(customer_id=customer_id, month=period_of(now(session))))
    session.flush()
    session.add(
        Subscription(
            customer_id=customer_id,
            effective_from=first_day,
            plan_id=plan.plan_id,
            currency=plan.currency,
        )
    )
    session.flush()


def _email_taken(email: str) -> BillingError:
    return Conflict("email_taken", email=email)


def update_customer(
    session: Session,
    actor: Actor,
    ref: str,
    *,
    name: str | None = None,
    email: str | None = None,
    billing_address: str | None = None,
    status: str | None = None,
    version: int | None = None,
) -> CustomerRow:
    """Change the given fields; `status` starts or ends a suspension now.

    Raises:
        Invalid: naming the field that breaks a rule.
        NotFound: `customer_not_found`.
        Conflict: `email_taken`, or `stale` with the newer values if `version` is outdated.
    """
    require(actor, Permission.WRITE_CUSTOMERS)
    if status is not None:
        status = validation.choice("status", status, CustomerStatus)
        gate.hold_exclusively(session)
    customer = lock_customer(session, ref)
    assert customer.customer_id is not None
    before = read_customer(session, customer.customer_id)
    _refuse_stale(before, version)
    changed = _change_fields(session, customer, name, email, billing_address)
    has_new_status = status is not None and suspensions.set_suspended(
        session, before.customer_id, status == CustomerStatus.SUSPENDED
    )
    if not changed and not has_new_status:
        return before
    customer.version += 1
    session.flush()
    if changed:
        audit.record(session, actor, "customer.changed", before.public_id, **changed)
    if has_new_status:
        _audit_status(session, actor, before.public_id, str(status))
    return read_customer(session, before.customer_id)


def _refuse_stale(before: CustomerRow, version: int | None) -> None:
    validation.refuse_stale(
        version, before.version, name=before.name, email=before.email,
        billing_address=before.billing_address, status=before.status,
    )  # fmt: skip


def _audit_status(session: Session, actor: Actor, customer: str, status: str) -> None:
    action = "suspended" if status == CustomerStatus.SUSPENDED else "reactivated"
    audit.record(session, actor, f"customer.{action}", customer)


def _change_fields(
    session: Session, customer: Customer, name: str | None, email: str | None, billing_address: str | None
) -> dict[str, str]:
    """Set the given values that differ and return them."""
    wanted: dict[str, str] = {}
    if name is not None:
        wanted["name"] = validation.line("name", name, at_most=validation.NAME_MAX)
    if email is not None:
        wanted["email"] = validation.email("email", email)
    if billing_address is not None:
        wanted["billing_address"] = validation.paragraph("billing_address", billing_address)
    changed = {column: value for column, value in wanted.items() if getattr(customer, column) != value}
    for column, value in changed.items():
        setattr(customer, column, value)
    customer.email_key = email_key(customer.email)
    with refused_as(uq_customer_email=_email_taken(customer.email)):
        session.flush()
    return changed


def get_customer(session: Session, actor: Actor, ref: str) -> CustomerRow:
    """Return one customer by id or key. Raises NotFound (`customer_not_found`)."""
    require(actor, Permission.READ)
    return read_customer(session, get_customer_id(session, ref))


def has_customer(session: Session, actor: Actor, ref: str) -> bool:
    """Return whether a customer has this id or key."""
    require(actor, Permission.READ)
    return find_customer_id(session, ref) is not None


def list_customers(
    session: Session,
    actor: Actor,
    customer_filter: CustomerFilter = ALL_CUSTOMERS,
    *,
    sort: str = CustomerSort.NAME,
    limit: int = LIMIT_DEFAULT,
    cursor: str | None = None,
) -> Page[CustomerRow]:
    """Return a page of customers in the given order. Over all pages, each customer appears exactly once.

    A cursor is only valid for the order that it came from. Usage and outstanding amounts are sorted as of the
    last background count.
    """
    require(actor, Permission.READ)
    return read_page(
        session, select_customers(session, customer_filter), sort=sort, limit=limit, cursor=cursor
    )


def list_named(session: Session, actor: Actor, name: str, *, limit: int) -> tuple[CustomerRow, ...]:
    """Return the first customers with exactly this name, ignoring case."""
    require(actor, Permission.READ)
    selection = select_named(session, name)
    return read_page(session, selection, sort=CustomerSort.NAME, limit=limit, cursor=None).items


def count_customers(session: Session, actor: Actor, customer_filter: CustomerFilter = ALL_CUSTOMERS) -> int:
    """Return how many customers `list_customers` would list."""
    require(actor, Permission.READ)
    return count_selected(session, select_customers(session, customer_filter))
