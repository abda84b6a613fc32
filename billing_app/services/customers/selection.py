"""Queries that select, sort and read customers for lists. Unguarded: callers have checked the permission."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import Row, TextClause, func, text
from sqlmodel import Session, select

from billing_app.database.session import now
from billing_app.domain.periods import period_of
from billing_app.models import Plan
from billing_app.models.customer import SEARCHED
from billing_app.services.customers.rows import CustomerFilter, CustomerRow, CustomerSort, CustomerStatus
from billing_app.services.payments.queries import BALANCE, JOIN_PAID
from billing_app.services.plans.plan_in_effect import plan_in_effect, plans_in_effect
from billing_app.services.shared import validation
from billing_app.services.shared.ids import find_number
from billing_app.services.shared.pagination import Page, check_limit, decode_sorted, page_of


class Selection(NamedTuple):
    """SQL conditions on `customer`, combined with AND, and their parameters.

    Conditions in `narrow` usually select few customers, wherever they are in an order. These are found first.
    """

    conditions: list[str]
    values: dict[str, Any]
    narrow: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        """The combined condition."""
        return " AND ".join([*self.narrow, *self.conditions]) or "true"


class _Order(NamedTuple):
    """A sort order: its key, the key's type in a cursor, and the tables whose index it uses."""

    key: str
    kind: type[str | datetime | Decimal]
    source: str = "customer"


# Without this, the customers would be read in the list's order until a page of them is found, which takes
# seconds if few are selected.
_NARROWED = """(
    WITH narrowed AS MATERIALIZED (SELECT customer_id FROM customer WHERE {narrow})
    SELECT customer.*, {key} AS sort_key FROM narrowed JOIN {source} USING (customer_id) WHERE {condition}
     ORDER BY {key} {direction}, customer_id {direction} LIMIT :limit
) c"""
_IN_ORDER = """(
    SELECT customer.*, {key} AS sort_key FROM {source} WHERE {condition}
     ORDER BY {key} {direction}, customer_id {direction} LIMIT :limit
) c"""
_WITH_FIGURES = "customer_figures JOIN customer USING (customer_id)"
_ORDERS = {
    "name": _Order("lower(name)", str),
    "usage": _Order("usage_quantity", Decimal, _WITH_FIGURES),
    # Amounts in different currencies can't be compared, so they are ordered by their minor units.
    "outstanding": _Order("outstanding_minor", Decimal, _WITH_FIGURES),
    "created": _Order("created_at", datetime),
}

# The inner query filters and sorts, so only the rows of the page are read from the tables.
_ROWS = f"""
    SELECT c.*, p.plan_id, p.name AS plan_name, p.version AS plan_version,
           -- If the plan has changed since the count, the quantity may be that of another meter.
           CASE WHEN f.month = :month AND f.meter_id = (
               SELECT ch.meter_id FROM plan_charge ch WHERE ch.plan_id = p.plan_id AND ch.position = 1
           ) THEN f.usage_quantity END AS usage_quantity,
           EXISTS (SELECT FROM suspension x
                    WHERE x.customer_id = c.customer_id AND x.ended_at IS NULL) AS suspended,
           (SELECT coalesce(sum({BALANCE}), 0) FROM invoice i {JOIN_PAID}
             WHERE i.customer_id = c.customer_id) AS outstanding_minor
      FROM {{page}}
      LEFT JOIN customer_figures f USING (customer_id)
      LEFT JOIN LATERAL {plan_in_effect("c.customer_id", ":today")} s ON true
      LEFT JOIN plan p ON p.plan_id = s.plan_id
     ORDER BY c.sort_key {{direction}}, c.customer_id {{direction}}
"""
_SUSPENDED = (
    "EXISTS (SELECT FROM suspension x WHERE x.customer_id = customer.customer_id AND x.ended_at IS NULL)"
)
_UNSUBSCRIBED = f"""
    customer_id NOT IN (SELECT p.customer_id FROM {plans_in_effect(":today")} p WHERE p.plan_id IS NOT NULL)
"""
_SUBSCRIBED = f"{plan_in_effect('customer.customer_id', ':today')} IS NOT NULL"
# A partial index has these customers.
_WITH_CREDIT = "customer_id IN (SELECT b.customer_id FROM customer_billing b WHERE b.credit_minor > 0)"
# The index on plan_id finds the customers that were ever on one of these plans. The rule then selects those
# that are on one now.
_ON_PLAN = f"""
    customer_id IN (SELECT s.customer_id FROM subscription s
                     WHERE s.plan_id = ANY(:plan_ids)
                       AND {plan_in_effect("s.customer_id", ":today")} = ANY(:plan_ids))
"""


def select_customers(session: Session, customer_filter: CustomerFilter) -> Selection:
    """Turn a filter into conditions. Raises Invalid for an invalid value."""
    conditions: list[str] = []
    narrow: list[str] = []
    values: dict[str, Any] = _today(session)
    if customer_filter.search:
        wanted = validation.line(
            "search", customer_filter.search, at_most=validation.NAME_MAX, required=False
        )
        conditions.append(f"({' OR '.join(f'lower({each}) LIKE lower(:pattern)' for each in SEARCHED)})")
        values["pattern"] = f"%{validation.like_pattern(wanted)}%"
    if customer_filter.status:
        suspended = (
            validation.choice("status", customer_filter.status, CustomerStatus) == CustomerStatus.SUSPENDED
        )
        if suspended:
            narrow.append(_SUSPENDED)
        else:
            conditions.append(f"NOT {_SUSPENDED}")
    if customer_filter.plan:
        narrow.append(_ON_PLAN)
        named = validation.line("plan", customer_filter.plan, at_most=validation.NAME_MAX)
        values["plan_ids"] = _find_plan_ids(session, named)
    if customer_filter.subscribed is not None:
        if customer_filter.subscribed:
            conditions.append(_SUBSCRIBED)
        else:
            narrow.append(_UNSUBSCRIBED)
    if customer_filter.has_credit:
        narrow.append(_WITH_CREDIT)
    elif customer_filter.has_credit is not None:
        conditions.append(f"NOT {_WITH_CREDIT}")
    return Selection(conditions, values, tuple(narrow))


def _today(session: Session) -> dict[str, Any]:
    moment = now(session)
    return {"today": moment.date(), "month": period_of(moment)}


def select_named(session: Session, name: str) -> Selection:
    """Select the customers with exactly this name, ignoring case."""
    wanted = validation.line("name", name, at_most=validation.NAME_MAX)
    return Selection(["lower(name) = lower(:name)"], {"name": wanted, **_today(session)})


def read_page(
    session: Session, selection: Selection, *, sort: object, limit: int, cursor: str | None
) -> Page[CustomerRow]:
    """Read one page in the given order. Raises Invalid for an unknown order or a cursor of another order."""
    sorting = validation.choice("sort", sort, CustomerSort)
    is_descending = sorting.startswith("-")
    order = _ORDERS[sorting.removeprefix("-")]
    conditions, values = list(selection.conditions), selection.values | {"limit": check_limit(limit) + 1}
    if after := decode_sorted(cursor, sorting, order.kind, int):
        comparison = "<" if is_descending else ">"
        conditions.append(f"({order.key}, customer_id) {comparison} (:after_key, :after_id)")
        values |= {"after_key": after[0], "after_id": after[1]}
    query = _query(order, "DESC" if is_descending else "ASC", selection._replace(conditions=conditions))
    page = page_of(
        session.execute(query, values).all(), limit, lambda row: (sorting, row.sort_key, row.customer_id)
    )
    return Page(tuple(_as_row(row) for row in page.items), page.next_cursor)


def read_customer(session: Session, customer_id: int) -> CustomerRow:
    """Read one customer, which must exist."""
    session.flush()
    query = _query(_ORDERS["name"], "ASC", Selection(["customer_id = :customer_id"], {}))
    values = {"customer_id": customer_id, **_today(session), "limit": 1}
    return _as_row(session.execute(query, values).one())


def count_selected(session: Session, selection: Selection) -> int:
    """Count the selected customers."""
    query = text(f"SELECT count(*) FROM customer WHERE {selection.where}")
    return session.scalar(query, selection.values) or 0


def _query(order: _Order, direction: str, selection: Selection) -> TextClause:
    page = (_NARROWED if selection.narrow else _IN_ORDER).format(
        key=order.key,
        source=order.source,
        direction=direction,
        narrow=" AND ".join(selection.narrow),
        condition=" AND ".join(selection.conditions) or "true",
    )
    return text(_ROWS.format(page=page, direction=direction))


def _find_plan_ids(session: Session, named: str) -> list[int]:
    """Return the plan version with this id, or all versions with this name."""
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
        usage_quantity=row.usage_quantity,
        outstanding_minor=int(row.outstanding_minor),
        created_at=row.created_at,
        version=row.version,
    )
