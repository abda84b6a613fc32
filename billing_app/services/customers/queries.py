"""Customers as they are shown: finding them, one or a page of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import Row, TextClause, func, text
from sqlmodel import Session, select

from billing_app.database.session import now
from billing_app.domain.periods import period_of
from billing_app.errors import NotFound
from billing_app.models import Customer, Plan
from billing_app.models.customer import SEARCHED
from billing_app.services.payments.queries import JOIN_PAID
from billing_app.services.shared import validation
from billing_app.services.shared.ids import find_number, public_id
from billing_app.services.shared.pagination import Page, check_limit, decode_sorted, page_of


class CustomerStatus(StrEnum):
    """A suspended customer's usage is refused; its subscription goes on."""

    ACTIVE = "active"
    SUSPENDED = "suspended"


class CustomerSort(StrEnum):
    """What customers are listed by; with a minus the other way round."""

    NAME = "name"
    NAME_DOWN = "-name"
    USAGE = "usage"
    USAGE_DOWN = "-usage"
    OUTSTANDING = "outstanding"
    OUTSTANDING_DOWN = "-outstanding"
    CREATED = "created"
    CREATED_DOWN = "-created"


@dataclass(frozen=True, slots=True)
class CustomerRow:
    """A customer with the plan of the current month, which is None before the first and after a
    cancellation. `version` covers the subscription too.

    `usage_quantity`, what was used this month, is as of the last count in the background
    (`dashboard.figures_as_of`), None when that was in another month. `outstanding_minor` is of now.
    """

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
    included_units: Decimal | None
    usage_quantity: Decimal | None
    outstanding_minor: int
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
        raise NotFound("customer_not_found", named=ref)
    return customer_id


# The condition and the order are on what can be asked by an index, so that only what is shown is
# looked up.
_ROWS = f"""
    SELECT c.*, p.plan_id, p.name AS plan_name, p.version AS plan_version, p.included_units,
           CASE WHEN f.month = :month THEN f.usage_quantity END AS usage_quantity,
           EXISTS (SELECT FROM suspension x
                    WHERE x.customer_id = c.customer_id AND x.ended_at IS NULL) AS suspended,
           (SELECT coalesce(sum(i.total_minor - paid.paid_minor), 0) FROM invoice i {JOIN_PAID}
             WHERE i.customer_id = c.customer_id) AS outstanding_minor
      FROM (SELECT customer.*, {{key}} AS sort_key FROM {{source}} WHERE {{condition}}
             ORDER BY {{key}} {{direction}}, customer_id {{direction}} LIMIT :limit) c
      LEFT JOIN customer_figures f USING (customer_id)
      LEFT JOIN LATERAL (SELECT s.plan_id FROM subscription s
                          WHERE s.customer_id = c.customer_id AND s.effective_from <= :month
                          ORDER BY s.effective_from DESC LIMIT 1) s ON true
      LEFT JOIN plan p ON p.plan_id = s.plan_id
     ORDER BY c.sort_key {{direction}}, c.customer_id {{direction}}
"""


class _Order(NamedTuple):
    """An order: its key, the type of that in a cursor, and the tables with an index for it."""

    key: str
    kind: type[str | datetime | Decimal]
    source: str = "customer"


_FIGURED = "customer_figures JOIN customer USING (customer_id)"
_ORDERS = {
    "name": _Order("lower(name)", str),
    "usage": _Order("usage_quantity", Decimal, _FIGURED),
    # Amounts of different currencies are not added; they stand in the order of their minor units.
    "outstanding": _Order("outstanding_minor", Decimal, _FIGURED),
    "created": _Order("created_at", datetime),
}
_SUSPENDED = (
    "EXISTS (SELECT FROM suspension x WHERE x.customer_id = customer.customer_id AND x.ended_at IS NULL)"
)
_ON_PLAN = """
    customer_id IN (
        SELECT s.customer_id FROM subscription s
         WHERE {which} AND s.effective_from <= :month
           AND NOT EXISTS (SELECT FROM subscription later
                            WHERE later.customer_id = s.customer_id
                              AND later.effective_from > s.effective_from
                              AND later.effective_from <= :month))
"""


def get_row(session: Session, customer_id: int) -> CustomerRow:
    """The customer as it is shown; it exists."""
    session.flush()
    query = _query(_ORDERS["name"], "ASC", ["customer_id = :customer_id"])
    values = {"customer_id": customer_id, "month": period_of(now(session)), "limit": 1}
    return _as_row(session.execute(query, values).one())


def _query(order: _Order, direction: str, conditions: list[str]) -> TextClause:
    condition = " AND ".join(conditions) or "true"
    return text(_ROWS.format(key=order.key, source=order.source, direction=direction, condition=condition))


class Selection(NamedTuple):
    """Which customers: conditions on `customer`, and the values of their parameters."""

    conditions: list[str]
    values: dict[str, Any]


def page_of_customers(
    session: Session, chosen: Selection, *, sort: object, limit: int, cursor: str | None
) -> Page[CustomerRow]:
    """See `customers.list_customers`."""
    sorting = validation.choice("sort", sort, CustomerSort)
    order = _ORDERS[sorting.removeprefix("-")]
    conditions, values = list(chosen.conditions), chosen.values | {"limit": check_limit(limit) + 1}
    if after := decode_sorted(cursor, sorting, order.kind, int):
        beyond = "<" if sorting.startswith("-") else ">"
        conditions.append(f"({order.key}, customer_id) {beyond} (:after_key, :after_id)")
        values |= {"after_key": after[0], "after_id": after[1]}
    query = _query(order, "DESC" if sorting.startswith("-") else "ASC", conditions)
    page = page_of(
        session.execute(query, values).all(), limit, lambda row: (sorting, row.sort_key, row.customer_id)
    )
    return Page(tuple(_as_row(row) for row in page.items), page.next_cursor)


def count_of(session: Session, chosen: Selection) -> int:
    """How many customers are chosen."""
    condition = " AND ".join(chosen.conditions) or "true"
    return session.scalar(text(f"SELECT count(*) FROM customer WHERE {condition}"), chosen.values) or 0


def select_customers(
    session: Session, *, search: object, status: object, plan: object, subscribed: object
) -> Selection:
    """The customers that all of what is given fits. For services that asked for their permission."""
    conditions: list[str] = []
    values: dict[str, Any] = {"month": period_of(now(session))}
    if search:
        wanted = validation.line("search", search, at_most=validation.NAME_MAX, required=False)
        conditions.append(f"({' OR '.join(f'lower({each}) LIKE lower(:pattern)' for each in SEARCHED)})")
        values["pattern"] = f"%{validation.like_pattern(wanted)}%"
    if status:
        suspended = validation.choice("status", status, CustomerStatus) == CustomerStatus.SUSPENDED
        conditions.append(_SUSPENDED if suspended else f"NOT {_SUSPENDED}")
    if plan:
        conditions.append(_ON_PLAN.format(which="s.plan_id = ANY(:plan_ids)"))
        values["plan_ids"] = _plan_ids(session, validation.line("plan", plan, at_most=validation.NAME_MAX))
    if subscribed is not None:
        on_any = _ON_PLAN.format(which="s.plan_id IS NOT NULL")
        conditions.append(on_any if subscribed else f"NOT ({on_any})")
    return Selection(conditions, values)


def select_named(session: Session, name: str) -> Selection:
    """The customers of exactly this name. For services that asked for their permission."""
    wanted = validation.line("name", name, at_most=validation.NAME_MAX)
    return Selection(["lower(name) = lower(:name)"], {"name": wanted, "month": period_of(now(session))})


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
        included_units=row.included_units,
        usage_quantity=row.usage_quantity,
        outstanding_minor=int(row.outstanding_minor),
        created_at=row.created_at,
        version=row.version,
    )
