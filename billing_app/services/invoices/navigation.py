"""Navigation between invoices: the periods that have any, and a customer's previous and next invoice."""

from __future__ import annotations

from datetime import date

from sqlmodel import Session

from billing_app.database.session import driver_cursor
from billing_app.domain.actor import Actor, Permission
from billing_app.services.invoices.queries import locate_invoice
from billing_app.services.invoices.rows import Neighbours
from billing_app.services.shared.permissions import require

PERIODS_MAX = 120

# Skips from one period to the next in the index, without reading every invoice.
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


def list_periods(session: Session, actor: Actor) -> tuple[date, ...]:
    """List the periods that have invoices, newest first, at most 120."""
    require(actor, Permission.READ)
    with driver_cursor(session) as db:
        db.execute(_PERIODS, [PERIODS_MAX])
        return tuple(period_start for (period_start,) in db)


def get_neighbours(session: Session, actor: Actor, number: str) -> Neighbours:
    """Return the customer's previous and next invoice.

    Raises:
        NotFound: `invoice_not_found`.
    """
    require(actor, Permission.READ)
    with driver_cursor(session) as db:
        customer_id, sequence = locate_invoice(db, number)
        db.execute(
            """
            SELECT (SELECT number FROM invoice WHERE customer_id = %(id)s AND sequence < %(sequence)s
                    ORDER BY sequence DESC LIMIT 1),
                   (SELECT number FROM invoice WHERE customer_id = %(id)s AND sequence > %(sequence)s
                    ORDER BY sequence LIMIT 1)
            """,
            {"id": customer_id, "sequence": sequence},
        )
        return Neighbours(*db.fetchall()[0])
