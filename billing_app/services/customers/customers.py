"""Who is billed."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from itertools import islice
from typing import Any

from sqlalchemy import func, text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, select

from billing_app.database.session import now
from billing_app.domain.actor import Actor, Permission
from billing_app.domain.periods import label, period_of, previous_period
from billing_app.errors import BillingError, Conflict
from billing_app.models import Customer, CustomerBilling, CustomerFigures, Plan, Subscription
from billing_app.services.customers import suspensions
from billing_app.services.customers.keys import keys_from, parse_key
from billing_app.services.customers.queries import (
    CustomerRow,
    CustomerSort,
    CustomerStatus,
    count_of,
    find_customer_id,
    get_customer_id,
    get_row,
    page_of_customers,
    select_customers,
    select_named,
)
from billing_app.services.plans.plans import find_plan, refuse_archived
from billing_app.services.shared import audit, gate, validation
from billing_app.services.shared.constraints import refused_as
from billing_app.services.shared.ids import public_id
from billing_app.services.shared.pagination import LIMIT_DEFAULT, Page
from billing_app.services.shared.permissions import require

__all__ = [
    "CustomerRow",
    "CustomerSort",
    "CustomerStatus",
    "count_customers",
    "create_customer",
    "find_customer_id",
    "get_customer",
    "get_customer_id",
    "list_customers",
    "list_named",
    "lock_customer",
    "propose_key",
    "update_customer",
]


# The numbered ones, and a few of those that end in chance.
KEYS_TRIED = 25


def create_customer(
    session: Session,
    actor: Actor,
    *,
    name: str,
    email: str,
    plan_id: int,
    key: str | None = None,
    billing_address: str = "",
    start_period: date | None = None,
) -> CustomerRow:
    """Makes a customer that has a plan from its first month on, the current one unless said otherwise.

    Email and key are nobody else's, whatever their case (Conflict `email_taken`, `key_taken`);
    without a key one is made from the name. Raises NotFound `plan_not_found`, Conflict
    `plan_archived`. Passes no gate: nobody can record for a customer that is not committed yet.
    """
    require(actor, Permission.WRITE_CUSTOMERS)
    values = {
        "name": validation.line("name", name, at_most=validation.NAME_MAX),
        "email": validation.email("email", email),
        "billing_address": validation.paragraph("billing_address", billing_address),
        "created_at": now(session),
        "version": 1,
    }
    given_key = None if key is None else parse_key(key)
    first = (
        period_of(now(session)) if start_period is None else validation.period("start_period", start_period)
    )
    plan = find_plan(session, plan_id)
    refuse_archived(plan)
    keys = [given_key] if given_key else keys_from(name)
    customer_id = _insert(session, keys, {**values, "currency": plan.currency})
    _begin(session, customer_id, plan, first)
    made = get_row(session, customer_id)
    audit.record(
        session, actor, "customer.created", made.public_id,
        name=made.name, key=made.key, email=made.email, plan=public_id("plan", plan_id),
        start_period=label(first),
    )  # fmt: skip
    return made


def propose_key(session: Session, actor: Actor, name: str) -> str:
    """The key that a customer of this name would be given now; taken by somebody else, another then."""
    require(actor, Permission.WRITE_CUSTOMERS)
    keys = list(islice(keys_from(validation.line("name", name, at_most=validation.NAME_MAX)), KEYS_TRIED))
    of_keys = func.lower(col(Customer.key))
    taken = set(session.exec(select(of_keys).where(of_keys.in_(keys))))
    return next((key for key in keys if key not in taken), keys[-1])


def _insert(session: Session, keys: Iterable[str], values: dict[str, Any]) -> int:
    """Inserts under the first of the keys that is free; the index judges. Answers the id."""
    with refused_as(uq_customer_email=_email_taken(values["email"])):
        for key in keys:
            inserted: int | None = session.scalar(
                insert(Customer)
                .values(key=key, **values)
                .on_conflict_do_nothing(index_elements=[text("lower(key)")])
                .returning(col(Customer.customer_id))
            )
            if inserted is not None:
                return inserted
    raise Conflict("key_taken", key=key)


def _begin(session: Session, customer_id: int, plan: Plan, first: date) -> None:
    before = previous_period(first)
    session.add(CustomerBilling(customer_id=customer_id, closed_through=before, settled_through=before))
    # Nothing used, nothing owed: listed at once, whatever the list is sorted by.
    session.add(CustomerFigures(customer_id=customer_id, month=period_of(now(session))))
    session.flush()
    session.add(
        Subscription(
            customer_id=customer_id, effective_from=first, plan_id=plan.plan_id, currency=plan.currency
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
    """Changes what is given; a suspension begins, or ends, at this moment and for good.

    Raises NotFound `customer_not_found`, Conflict `email_taken`, and `stale` with the newer values
    when `version` is given and no longer the newest.
    """
    require(actor, Permission.WRITE_CUSTOMERS)
    if status is not None:
        status = validation.choice("status", status, CustomerStatus)
        gate.pass_alone(session)
    customer = lock_customer(session, ref)
    assert customer.customer_id is not None
    before = get_row(session, customer.customer_id)
    validation.refuse_stale(
        version, before.version, name=before.name, email=before.email,
        billing_address=before.billing_address, status=before.status,
    )  # fmt: skip
    changed = _change_fields(session, customer, name, email, billing_address)
    moved = status is not None and suspensions.set_suspended(
        session, before.customer_id, status == CustomerStatus.SUSPENDED
    )
    if not changed and not moved:
        return before
    customer.version += 1
    session.flush()
    if changed:
        audit.record(session, actor, "customer.changed", before.public_id, **changed)
    if moved:
        action = "suspended" if status == CustomerStatus.SUSPENDED else "reactivated"
        audit.record(session, actor, f"customer.{action}", before.public_id)
    return get_row(session, before.customer_id)


def _change_fields(
    session: Session, customer: Customer, name: str | None, email: str | None, billing_address: str | None
) -> dict[str, str]:
    """Sets what is given and differs; answers the new values."""
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
    with refused_as(uq_customer_email=_email_taken(customer.email)):
        session.flush()
    return changed


def lock_customer(session: Session, ref: object) -> Customer:
    """The customer's row, nobody else's to change until this ends; raises NotFound.

    For services that asked for their own permission. Recording usage is not held up by it.
    """
    query = select(Customer).where(Customer.customer_id == get_customer_id(session, ref))
    locked = query.with_for_update(key_share=True).execution_options(populate_existing=True)
    return session.exec(locked).one()


def get_customer(session: Session, actor: Actor, ref: str) -> CustomerRow:
    """One customer by id or key; raises NotFound (`customer_not_found`)."""
    require(actor, Permission.READ)
    return get_row(session, get_customer_id(session, ref))


def list_customers(
    session: Session,
    actor: Actor,
    *,
    search: str | None = None,
    status: str | None = None,
    plan: str | None = None,
    subscribed: bool | None = None,
    sort: str = CustomerSort.NAME,
    limit: int = LIMIT_DEFAULT,
    cursor: str | None = None,
) -> Page[CustomerRow]:
    """The customers in an order, each once, a page at a time; a cursor is good for its own order.

    `search` is looked for within name, email and key, whatever its case; `plan` is a plan's name
    (all versions) or id (`plan_3`), of the current month; `subscribed`: whether on any plan in it.
    Usage and outstanding are sorted as of the last count in the background.
    """
    require(actor, Permission.READ)
    chosen = select_customers(session, search=search, status=status, plan=plan, subscribed=subscribed)
    return page_of_customers(session, chosen, sort=sort, limit=limit, cursor=cursor)


def list_named(session: Session, actor: Actor, name: str, *, limit: int) -> tuple[CustomerRow, ...]:
    """The first customers of exactly this name, whatever its case."""
    require(actor, Permission.READ)
    chosen = select_named(session, name)
    return page_of_customers(session, chosen, sort=CustomerSort.NAME, limit=limit, cursor=None).items


def count_customers(
    session: Session,
    actor: Actor,
    *,
    search: str | None = None,
    status: str | None = None,
    plan: str | None = None,
    subscribed: bool | None = None,
) -> int:
    """How many customers `list_customers` would list, now."""
    require(actor, Permission.READ)
    chosen = select_customers(session, search=search, status=status, plan=plan, subscribed=subscribed)
    return count_of(session, chosen)
