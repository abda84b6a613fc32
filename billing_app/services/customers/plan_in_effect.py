"""The plan that a customer is on in a month: the newest subscription row up to that month."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from psycopg import Cursor

from billing_app.domain.rating import Plan

Month = tuple[int, date]
"""A customer's id and a period: the key of most questions about billing."""


def plans_of(db: Cursor[Any], months: Iterable[Month]) -> Mapping[Month, Plan]:
    """The plan of each (customer, month) that has one: the newest subscription row up to it."""
    customer_ids, periods = as_columns(months)
    db.execute(
        """
        SELECT m.customer_id, m.month, s.plan_id
        FROM unnest(%s::bigint[], %s::date[]) AS m(customer_id, month)
        CROSS JOIN LATERAL (
            SELECT plan_id FROM subscription s
            WHERE s.customer_id = m.customer_id AND s.effective_from <= m.month
            ORDER BY s.effective_from DESC LIMIT 1
        ) s
        WHERE s.plan_id IS NOT NULL
        """,
        [customer_ids, periods],
    )
    plan_ids = {(customer_id, month): plan_id for customer_id, month, plan_id in db}
    plans = read_plans(db, set(plan_ids.values()))
    return {month: plans[plan_id] for month, plan_id in plan_ids.items()}


def read_plans(db: Cursor[Any], plan_ids: Iterable[int] | None = None) -> dict[int, Plan]:
    """The terms of these plan versions, or of all, by id."""
    db.execute(
        "SELECT plan_id, name, version, currency, monthly_price_minor, included_units,"
        " overage_unit_price FROM plan WHERE %(all)s OR plan_id = ANY(%(ids)s)",
        {"all": plan_ids is None, "ids": list(plan_ids or ())},
    )
    return {
        plan_id: Plan(plan_id, name, version, currency, int(price_minor), included_units, unit_price)
        for plan_id, name, version, currency, price_minor, included_units, unit_price in db
    }


def as_columns(months: Iterable[Month]) -> tuple[list[int], list[date]]:
    """Turn (customer, month) pairs into one list per column, for `unnest`."""
    pairs = list(months)
    return [customer_id for customer_id, _ in pairs], [month for _, month in pairs]
