"""Figures over many rows, for screens: plain SQL, always bounded."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, text
from sqlmodel import Session

from billing_app.domain.actor import Actor, Permission
from billing_app.services.access import require

_OUTSTANDING = text(
    """
    SELECT i.customer_id, sum(i.total_minor) - coalesce(sum(p.paid_minor), 0) AS outstanding_minor
      FROM invoice i
      LEFT JOIN LATERAL (
           SELECT sum(payment.amount_minor) AS paid_minor
             FROM payment
            WHERE payment.customer_id = i.customer_id
              AND payment.period_start = i.period_start
              AND NOT EXISTS (
                  SELECT FROM payment_reversal r
                   WHERE r.customer_id = payment.customer_id AND r.payment_id = payment.payment_id)
           ) p ON true
     WHERE i.customer_id IN :customer_ids
     GROUP BY i.customer_id
    """
).bindparams(bindparam("customer_ids", expanding=True))


def outstanding_by_customer(session: Session, actor: Actor, customer_ids: Sequence[int]) -> dict[int, int]:
    """What each of these customers owes over all its invoices, in minor units of its currency."""
    require(actor, Permission.READ)
    if not customer_ids:
        return {}
    rows = session.connection().execute(_OUTSTANDING, {"customer_ids": list(customer_ids)})
    return {row.customer_id: int(row.outstanding_minor) for row in rows}
