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
from billing_app.models import Customer
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


_ROWS = """
    SELECT c.customer_id, c.key, c.name, c.email, c.billing_address, c.currency,
           CASE WHEN EXISTS (SELECT FROM suspension x
                              WHERE x.customer_id = c.customer_id AND x.ended_at IS NULL)
                THEN 'suspended' ELSE 'active' END AS status,
           p.plan_id, p.name AS plan_name, p.version AS plan_version,
           c.created_at, c.version, lower(c.name) AS sort_name
      FROM customer c
      LEFT JOIN LATERAL (SELECT s.plan_id FROM subscription s
                          WHERE s.customer_id = c.customer_id AND s.effective_from <= :month
                          ORDER BY s.effective_from DESC LIMIT 1) s ON true
      LEFT JOIN plan p ON p.plan_id = s.plan_id
"""


def get_row(session: Session, customer_id: int) -> CustomerRow:
    """The customer as it is shown; it exists."""
    session.flush()
    found = session.execute(
        text(f"{_ROWS} WHERE c.customer_id = :customer_id"),
        {"customer_id": customer_id, "month": period_of(now(session))},
    )
    return _as_row(found.one())


_FILTERS = {
    "pattern": "(lower(c.name) LIKE :pattern OR lower(c.email) LIKE :pattern OR lower(c.key) LIKE :pattern)",
    "suspended": "EXISTS (SELECT FROM suspension x WHERE x.customer_id = c.customer_id"
    " AND x.ended_at IS NULL) = :suspended",
    "plan": "p.plan_id IN (SELECT plan_id FROM plan WHERE lower(name) = lower(:plan))",
    "plan_id": "p.plan_id = :plan_id",
    "after_name": "(lower(c.name), c.customer_id) > (:after_name, :after_id)",
}


def page_of_customers(
    session: Session, *, search: object, status: object, plan: object, limit: int, cursor: str | None
) -> Page[CustomerRow]:
    """See `customers.list_customers`."""
    values = _filter_values(search, status, plan)
    after = decode_cursor(cursor, str, int)
    if after:
        values |= {"after_name": after[0], "after_id": after[1]}
    where = " AND ".join(_FILTERS[name] for name in values if name in _FILTERS) or "true"
    query = text(f"{_ROWS} WHERE {where} ORDER BY lower(c.name), c.customer_id LIMIT :limit")
    values |= {"month": period_of(now(session)), "limit": check_limit(limit) + 1}
    page = page_of(session.execute(query, values).all(), limit, lambda row: (row.sort_name, row.customer_id))
    return Page(tuple(_as_row(row) for row in page.items), page.next_cursor)


def _filter_values(search: object, status: object, plan: object) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if search:
        wanted = fields.line("search", search, at_most=fields.NAME_MAX, required=False).lower()
        values["pattern"] = "%" + re.sub(r"([\\%_])", r"\\\1", wanted) + "%"
    if status:
        values["suspended"] = fields.choice("status", status, CustomerStatus) == CustomerStatus.SUSPENDED
    if plan:
        named = fields.line("plan", plan, at_most=fields.NAME_MAX)
        plan_id = find_number("plan", named)
        values |= {"plan": named} if plan_id is None else {"plan_id": plan_id}
    return values


def _as_row(row: Row[Any]) -> CustomerRow:
    return CustomerRow(
        customer_id=row.customer_id,
        key=row.key,
        name=row.name,
        email=row.email,
        billing_address=row.billing_address,
        currency=row.currency,
        status=CustomerStatus(row.status),
        plan_id=row.plan_id,
        plan_name=row.plan_name,
        plan_version=row.plan_version,
        created_at=row.created_at,
        version=row.version,
    )
