"""Customers for other services, which have already checked the caller's permission."""

from __future__ import annotations

from sqlalchemy import func
from sqlmodel import Session, select

from billing_app.errors import NotFound
from billing_app.models import Customer
from billing_app.services.shared.ids import find_number


def find_customer_id(session: Session, ref: object) -> int | None:
    """Return the id of the customer with this id (`cus_12`) or key, ignoring the key's case."""
    if not isinstance(ref, str) or not ref.isascii() or not ref.isprintable():
        return None
    number = find_number("cus", ref)
    if number is not None:
        return session.scalar(select(Customer.customer_id).where(Customer.customer_id == number))
    return session.scalar(select(Customer.customer_id).where(func.lower(Customer.key) == ref.lower()))


def get_customer_id(session: Session, ref: object) -> int:
    """Return what `find_customer_id` does. Raises NotFound (`customer_not_found`)."""
    customer_id = find_customer_id(session, ref)
    if customer_id is None:
        raise NotFound("customer_not_found", named=ref)
    return customer_id


def lock_customer(session: Session, ref: object) -> Customer:
    """Return the customer, locked until the transaction ends. Raises NotFound (`customer_not_found`).

    The lock does not hold up the recording of usage.
    """
    query = select(Customer).where(Customer.customer_id == get_customer_id(session, ref))
    locked = query.with_for_update(key_share=True).execution_options(populate_existing=True)
    return session.exec(locked).one()
