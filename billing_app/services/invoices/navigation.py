"""The ways between invoices: the months that have any, and those before and after one."""

from __future__ import annotations

from datetime import date
from typing import NamedTuple

from sqlmodel import Session

from billing_app.database.session import driver_cursor
from billing_app.domain.actor import Actor, Permission
from billing_app.services.invoices.invoices import locate
from billing_app.services.shared.permissions import require

PERIODS_MAX = 120

# From one month to the next by the index: the invoices of a month are not read.
_PERIODS = """
    WITH RECURSIVE month(period_start) AS (
        (SELECT period_start FROM invoice ORDER BY period_start DESC LIMIT 1)
        UNION ALL
        SELECT (SELECT i.period_start FROM invoice i WHERE i.period_start < month.period_start
                 ORDER BY i.period_start DESC LIMIT 1)
          FROM month WHERE month.period_start IS NOT NULL
    )
    SELECT period_start FROM month WHERE period_start IS NOT NULL LIMIT %s
"""


class Neighbours(NamedTuple):
    """The numbers of the customer's invoices before and after one; None where there is none."""

    previous: str | None
    following: str | None


def list_periods(session: Session, actor: Actor) -> tuple[date, ...]:
    """The months that have invoices, the newest first, 120 at most."""
    require(actor, Permission.READ)
    with driver_cursor(session) as db:
        db.execute(_PERIODS, [PERIODS_MAX])
        return tuple(row[0] for row in db)


def get_neighbours(session: Session, actor: Actor, number: str) -> Neighbours:
    """The same customer's invoices around this one. Raises NotFound (`invoice_not_found`)."""
    require(actor, Permission.READ)
    with driver_cursor(session) as db:
        customer_id, sequence = locate(db, number)
        db.execute(
            "SELECT sequence, number FROM invoice WHERE customer_id = %s AND sequence IN (%s, %s)",
            [customer_id, sequence - 1, sequence + 1],
        )
        found = dict(db.fetchall())
    return Neighbours(found.get(sequence - 1), found.get(sequence + 1))
