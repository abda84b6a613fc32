"""List where a customer's credit came from and what it was used for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlmodel import Session

from billing_app.database.session import driver_cursor
from billing_app.domain.actor import Actor, Permission
from billing_app.models import Customer
from billing_app.services.customers.queries import get_customer_id
from billing_app.services.shared.pagination import LIMIT_DEFAULT, Page, check_limit, decode_cursor, page_of
from billing_app.services.shared.permissions import require

CreditSource = Literal["invoice", "payment", "refund"]


@dataclass(frozen=True, slots=True)
class CreditEntry:
    """An invoice that gave credit, or a payment or a refund that used it.

    `amount_minor` is above zero if it gave credit. `reference` is the number of the invoice, or the reference
    of the refund. `number` identifies it among entries from the same source. A reversed entry no longer
    counts.
    """

    at: datetime
    source: CreditSource
    number: int
    reference: str
    amount_minor: int
    currency: str
    reversed_at: datetime | None
    reversal_reason: str | None


_ENTRIES = """
    SELECT i.issued_at AS at, 'invoice' AS source, i.sequence AS number, i.number AS reference,
           -i.total_minor AS amount_minor, NULL::timestamptz AS reversed_at, NULL AS reason
      FROM invoice i WHERE i.customer_id = %(customer_id)s AND i.total_minor < 0
    UNION ALL
    SELECT p.recorded_at, 'payment', p.payment_id, i.number, -p.amount_minor, r.recorded_at, r.reason
      FROM payment p
      JOIN invoice i USING (customer_id, period_start)
      LEFT JOIN payment_reversal r USING (customer_id, payment_id)
     WHERE p.customer_id = %(customer_id)s AND p.source = 'credit'
    UNION ALL
    SELECT f.recorded_at, 'refund', f.refund_id, f.reference, -f.amount_minor, r.recorded_at, r.reason
      FROM refund f LEFT JOIN refund_reversal r USING (customer_id, refund_id)
     WHERE f.customer_id = %(customer_id)s
"""


def list_credit_entries(
    session: Session, actor: Actor, customer: str, *, limit: int = LIMIT_DEFAULT, cursor: str | None = None
) -> Page[CreditEntry]:
    """List what gave a customer credit and what used it, latest first. Raises NotFound."""
    require(actor, Permission.READ)
    check_limit(limit)
    customer_id = get_customer_id(session, customer)
    currency = session.get_one(Customer, customer_id).currency
    values: dict[str, object] = {"customer_id": customer_id, "limit": limit + 1}
    condition = "true"
    if after := decode_cursor(cursor, datetime, str, int):
        condition = "(at, source, number) < (%(at)s, %(source)s, %(number)s)"
        values |= dict(zip(("at", "source", "number"), after, strict=True))
    with driver_cursor(session) as db:
        db.execute(
            f"SELECT * FROM ({_ENTRIES}) entry WHERE {condition}"
            " ORDER BY at DESC, source DESC, number DESC LIMIT %(limit)s",
            values,
        )
        rows = [
            CreditEntry(at, source, number, reference, int(amount_minor), currency, reversed_at, reason)
            for at, source, number, reference, amount_minor, reversed_at, reason in db
        ]
    return page_of(rows, limit, lambda row: (row.at, row.source, row.number))
