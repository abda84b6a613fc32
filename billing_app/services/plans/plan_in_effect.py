"""The plan in effect in a month, as SQL: the newest subscription row up to that month.

`domain.subscription.in_effect` has the same rule in Python. It is defined nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from psycopg import Cursor

from billing_app.domain.rating import Plan

CustomerMonth = tuple[int, date]
"""A customer's id and a period."""


def plan_in_effect(customer_id: str, month: str) -> str:
    """Return a subquery with the `plan_id` in effect for one customer in one month.

    Use it as a value or in a `LEFT JOIN LATERAL`. It has no row before the customer's first month, and
    a null `plan_id` after a cancellation. Takes SQL expressions, never values from callers.
    """
    return f"""(
        SELECT subscription.plan_id FROM subscription
        WHERE subscription.customer_id = {customer_id} AND subscription.effective_from <= {month}
        ORDER BY subscription.effective_from DESC LIMIT 1
    )"""


def plans_in_effect(month: str) -> str:
    """Return a subquery with `customer_id` and `plan_id` of every customer in one month.

    The same rule as `plan_in_effect`, written to be fast for all customers at once: it reads the primary key
    backwards, so nothing is sorted and no row is read twice.
    """
    return f"""(
        SELECT DISTINCT ON (customer_id) customer_id, plan_id FROM subscription
        WHERE effective_from <= {month} ORDER BY customer_id DESC, effective_from DESC
    )"""


_PLANS_IN_EFFECT = f"""
    SELECT asked.customer_id, asked.month, plan.plan_id
    FROM unnest(%s::bigint[], %s::date[]) AS asked(customer_id, month)
    CROSS JOIN LATERAL {plan_in_effect("asked.customer_id", "asked.month")} plan
    WHERE plan.plan_id IS NOT NULL
"""


def read_plans_in_effect(db: Cursor[Any], months: Iterable[CustomerMonth]) -> Mapping[CustomerMonth, Plan]:
    """Return the plan of each (customer, month) that has one."""
    db.execute(_PLANS_IN_EFFECT, as_columns(months))
    plan_ids = {(customer_id, month): plan_id for customer_id, month, plan_id in db}
    plans = read_plans(db, set(plan_ids.values()))
    return {month: plans[plan_id] for month, plan_id in plan_ids.items()}


def read_plans(db: Cursor[Any], plan_ids: Iterable[int] | None = None) -> dict[int, Plan]:
    """Return the terms of these plan versions, or of all of them, by id."""
    db.execute(
        "SELECT plan_id, name, version, currency, monthly_price_minor, included_units,"
        " overage_unit_price FROM plan WHERE %(all)s OR plan_id = ANY(%(ids)s)",
        {"all": plan_ids is None, "ids": list(plan_ids or ())},
    )
    return {
        plan_id: Plan(
            plan_id=plan_id,
            name=name,
            version=version,
            currency=currency,
            monthly_price_minor=int(price_minor),
            included_units=included_units,
            overage_unit_price=unit_price,
        )
        for plan_id, name, version, currency, price_minor, included_units, unit_price in db
    }


def as_columns(months: Iterable[CustomerMonth]) -> tuple[list[int], list[date]]:
    """Turn (customer, month) pairs into one list per column, for `unnest`."""
    pairs = list(months)
    return [customer_id for customer_id, _ in pairs], [month for _, month in pairs]
