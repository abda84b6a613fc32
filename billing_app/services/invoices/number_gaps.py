"""Gaps in invoice numbers: numbers that customers got before a restore, and that must not be used again."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text
from sqlmodel import Session

from billing_app.database.session import now
from billing_app.domain.actor import Actor, Permission
from billing_app.domain.invoice import NumberGap, gap_sha256
from billing_app.errors import Invalid
from billing_app.services.customers.queries import get_customer_id
from billing_app.services.shared import audit
from billing_app.services.shared.ids import public_id
from billing_app.services.shared.permissions import require

# The most that an invoice number can be found by.
NUMBER_MAX = 999_999_999

_LOCK_CHAIN = text("""
    SELECT c.key, b.last_number, b.last_sha256
    FROM customer_billing b JOIN customer c USING (customer_id)
    WHERE b.customer_id = :customer_id FOR NO KEY UPDATE OF b
""")
_ADD_GAP = text("""
    INSERT INTO number_gap (customer_id, first_sequence, last_sequence, backup_of, recorded_at, recorded_by,
                            previous_sha256, content_sha256)
    VALUES (:customer_id, :first, :last, :backup_of, :recorded_at, :recorded_by, :previous, :sha256)
""")
_ADVANCE_CHAIN = text("""
    UPDATE customer_billing SET last_number = :last, last_sha256 = :sha256 WHERE customer_id = :customer_id
""")


def reserve_issued_numbers(
    session: Session, actor: Actor, customer: str, *, last_issued: int, backup_of: datetime
) -> NumberGap | None:
    """Never use a number up to `last_issued` again for this customer: the next invoice gets the one after it.

    The gap is stated in the customer's chain of hashes, so it can be neither removed nor changed later.
    Returns None if the customer's invoices already reach that number.

    Raises:
        NotFound: `customer_not_found`.
        Invalid: The number is not an invoice's.
    """
    require(actor, Permission.INVOICE)
    if not 1 <= last_issued <= NUMBER_MAX:
        raise Invalid("issued", "out_of_range", at_least=1, at_most=NUMBER_MAX)
    customer_id = get_customer_id(session, customer)
    key, last_number, last_sha256 = session.execute(_LOCK_CHAIN, {"customer_id": customer_id}).one()
    if last_issued <= last_number:
        return None
    gap = NumberGap(key, last_number + 1, last_issued, backup_of, now(session), last_sha256)
    row = {
        "customer_id": customer_id,
        "first": gap.first_sequence,
        "last": gap.last_sequence,
        "backup_of": gap.backup_of,
        "recorded_at": gap.recorded_at,
        "recorded_by": actor.id,
        "previous": gap.previous_sha256,
        "sha256": gap_sha256(gap),
    }
    session.execute(_ADD_GAP, row)
    session.execute(_ADVANCE_CHAIN, row)
    first, last = gap.numbers
    audit.record(
        session, actor, "invoice_numbers.skipped", public_id("cus", customer_id), first=first, last=last
    )
    return gap
