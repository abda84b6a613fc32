"""Figures over many rows, for screens: plain SQL, always bounded."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, text
from sqlmodel import Session

from billing_app.domain.actor import Actor, Permission
from billing_app.services.access import require
from billing_app.services.payment_rows import JOIN_PAID

_OUTSTANDING = text(
    f"""
    SELECT i.customer_id, sum(i.total_minor - paid.paid_minor) AS outstanding_minor
      FROM invoice i {JOIN_PAID}
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
