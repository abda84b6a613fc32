"""Queries about invoices. Unguarded: callers have checked their permission."""

from __future__ import annotations

from datetime import date

from sqlmodel import Session

from billing_app.database.session import driver_cursor
from billing_app.services.plans.plan_in_effect import read_plans_in_effect


def find_invoice_number(session: Session, customer_id: int, period_start: date) -> str | None:
    """Return the number of the customer's invoice for the period, or None."""
    with driver_cursor(session) as db:
        db.execute(
            "SELECT number FROM invoice WHERE customer_id = %s AND period_start = %s",
            [customer_id, period_start],
        )
        row = db.fetchone()
    return row[0] if row else None


def has_charges(session: Session, customer_id: int, period_start: date) -> bool:
    """Return whether there is something to invoice: a plan in the period, or usage billed in it."""
    with driver_cursor(session) as db:
        db.execute(
            "SELECT EXISTS (SELECT FROM usage_event WHERE customer_id = %s AND billing_period = %s)",
            [customer_id, period_start],
        )
        (has_usage,) = db.fetchone() or (False,)
        return has_usage or bool(read_plans_in_effect(db, [(customer_id, period_start)]))
