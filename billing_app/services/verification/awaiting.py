"""Closed months whose invoice is missing, rather than about to be created."""

from __future__ import annotations

from collections.abc import Sequence

from sqlmodel import Session

from billing_app.database import locks
from billing_app.database.session import driver_cursor
from billing_app.domain.actor import Actor, Permission
from billing_app.services.shared.permissions import require
from billing_app.services.verification.report import AwaitingInvoice

# A process that executes a run holds its advisory lock. A run whose process was killed has no lock.
_STILL_AWAITING = """
    SELECT a.position
    FROM unnest(%(ids)s::bigint[], %(periods)s::date[]) WITH ORDINALITY
         AS a(customer_id, period, position)
    JOIN customer_billing b ON b.customer_id = a.customer_id AND b.settled_through < a.period
    WHERE NOT EXISTS (
        SELECT FROM invoice_run r
        JOIN pg_locks l ON l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
            AND l.classid::bigint = %(kind)s AND l.objid::bigint = r.run_id
        JOIN pg_database d ON d.oid = l.database AND d.datname = current_database()
        WHERE r.status = 'running' AND r.period_start = a.period
    )
    ORDER BY a.position
"""


def select_still_awaiting(
    session: Session, actor: Actor, months: Sequence[AwaitingInvoice]
) -> list[AwaitingInvoice]:
    """Return the months that still have no invoice, and whose run no process executes."""
    require(actor, Permission.VERIFY)
    with driver_cursor(session) as db:
        db.execute(
            _STILL_AWAITING,
            {
                "ids": [each.customer.customer_id for each in months],
                "periods": [each.period_start for each in months],
                "kind": locks.RUN,
            },
        )
        return [months[position - 1] for (position,) in db]
