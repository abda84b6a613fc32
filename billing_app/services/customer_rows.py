"""Customers as they are shown: finding them, one or a page of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Row, func, text
from sqlmodel import Session, select

from billing_app.db import now
from billing_app.domain.periods import period_of
from billing_app.errors import NotFound
from billing_app.models import Customer, Plan
from billing_app.services import fields
from billing_app.services.ids import find_number, public_id
from billing_app.services.paging import Page, check_limit, decode_cursor, page_of


class CustomerStatus(StrEnum):
    """A suspended customer's usage is refused; its subscription goes on."""

    ACTIVE = "active"
    SUSPENDED = "suspended"


@dataclass(frozen=True, slots=True)
class CustomerRow:
    """A customer with the plan of the current month, which is None before the first and after a
    cancellation. `version` covers the subscription too."""

    customer_id: int
    key: str
    name: str
    email: str
    billing_address: str
    currency: str
    status: CustomerStatus
    plan_id: int | None
    plan_name: str | None
    plan_version: int | None
    created_at: datetime
    version: int

    @property
    def public_id(self) -> str:
        """`cus_12`."""
        return public_id("cus", self.customer_id)


def find_customer_id(session: Session, ref: object) -> int | None:
    """The customer that an id (`cus_12`) or a key, whatever its case, names.

    For services that asked for their own permission.
    """
    if not isinstance(ref, str) or not ref.isascii() or not ref.isprintable():
        return None
    number = find_number("cus", ref)
    if number is not None:
        return session.scalar(select(Customer.customer_id).where(Customer.customer_id == number))
    return session.scalar(select(Customer.customer_id).where(func.lower(Customer.key) == ref.lower()))


def get_customer_id(session: Session, ref: object) -> int:
    """As `find_customer_id`; raises NotFound (`customer_not_found`)."""
    customer_id = find_customer_id(session, ref)
    if customer_id is None:
        raise NotFound(f"there is no customer {ref!r}", code="customer_not_found")
    return customer_id


# The condition and the order are on the customer alone, so that only what is shown is looked up.
_ROWS = """
    SELECT c.*, p.plan_id, p.name AS plan_name, p.version AS plan_version,
           EXISTS (SELECT FROM suspension x
                    WHERE x.customer_id = c.customer_id AND x.ended_at IS NULL) AS suspended
      FROM (SELECT customer.*, lower(name) AS sort_name FROM customer WHERE {condition}
             ORDER BY lower(name), customer_id LIMIT :limit) c
      LEFT JOIN LATERAL (SELECT s.plan_id FROM subscription s
                          WHERE s.customer_id = c.customer_id AND s.effective_from <= :month
                          ORDER BY s.effective_from DESC LIMIT 1) s ON true
      LEFT JOIN plan p ON p.plan_id = s.plan_id
     ORDER BY c.sort_name, c.customer_id
"""
_SUSPENDED = (
    "EXISTS (SELECT FROM suspension x WHERE x.customer_id = customer.customer_id AND x.ended_at IS NULL)"
)
_ON_PLAN = """
    customer_id IN (
        SELECT s.customer_id FROM subscription s
         WHERE s.plan_id = ANY(:plan_ids) AND s.effective_from <= :month
           AND NOT EXISTS (SELECT FROM subscription later
                            WHERE later.customer_id = s.customer_id
                              AND later.effective_from > s.effective_from
                              AND later.effective_from <= :month))
"""


def get_row(session: Session, customer_id: int) -> CustomerRow:
    """The customer as it is shown; it exists."""
    session.flush()
    query = text(_ROWS.format(condition="customer_id = :customer_id"))
    values = {"customer_id": customer_id, "month": period_of(now(session)), "limit": 1}
    return _as_row(session.execute(query, values).one())


def page_of_customers(
    session: Session, *, search: object, status: object, plan: object, limit: int, cursor: str | None
) -> Page[CustomerRow]:
    """See `customers.list_customers`."""
    conditions, values = _filters(session, search, status, plan)
    after = decode_cursor(cursor, str, int)
    if after:
        conditions.append("(lower(name), customer_id) > (:after_name, :after_id)")
        values |= {"after_name": after[0], "after_id": after[1]}
    query = text(_ROWS.format(condition=" AND ".join(conditions) or "true"))
    values |= {"month": period_of(now(session)), "limit": check_limit(limit) + 1}
    page = page_of(session.execute(query, values).all(), limit, lambda row: (row.sort_name, row.customer_id))
    return Page(tuple(_as_row(row) for row in page.items), page.next_cursor)


def _filters(
    session: Session, search: object, status: object, plan: object
) -> tuple[list[str], dict[str, Any]]:
    """The conditions on `customer`, and the values of their parameters."""
    conditions: list[str] = []
    values: dict[str, Any] = {}
    if search:
        wanted = fields.line("search", search, at_most=fields.NAME_MAX, required=False)
        columns = ("name", "email", "key")
        conditions.append(f"({' OR '.join(f'lower({each}) LIKE lower(:pattern)' for each in columns)})")
        values["pattern"] = "%" + re.sub(r"([\\%_])", r"\\\1", wanted) + "%"
    if status:
        suspended = fields.choice("status", status, CustomerStatus) == CustomerStatus.SUSPENDED
        conditions.append(_SUSPENDED if suspended else f"NOT {_SUSPENDED}")
    if plan:
        conditions.append(_ON_PLAN)
        values["plan_ids"] = _plan_ids(session, fields.line("plan", plan, at_most=fields.NAME_MAX))
    return conditions, values


def _plan_ids(session: Session, named: str) -> list[int]:
    """The plan of an id, or all versions of a name."""
    number = find_number("plan", named)
    if number is not None:
        return [number]
    found = session.exec(select(Plan.plan_id).where(func.lower(Plan.name) == func.lower(named)))
    return [plan_id for plan_id in found if plan_id is not None]


def _as_row(row: Row[Any]) -> CustomerRow:
    return CustomerRow(
        customer_id=row.customer_id,
        key=row.key,
        name=row.name,
        email=row.email,
        billing_address=row.billing_address,
        currency=row.currency,
        status=CustomerStatus.SUSPENDED if row.suspended else CustomerStatus.ACTIVE,
        plan_id=row.plan_id,
        plan_name=row.plan_name,
        plan_version=row.plan_version,
        created_at=row.created_at,
        version=row.version,
    )
