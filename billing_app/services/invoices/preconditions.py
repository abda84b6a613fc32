"""Checks before anything is invoiced. Unguarded: callers have checked the permission."""

from __future__ import annotations

from datetime import date

from sqlmodel import Session, select

from billing_app.database.session import now
from billing_app.domain.invoice import Issuer
from billing_app.domain.periods import has_ended
from billing_app.errors import Conflict
from billing_app.models import Issuer as StoredIssuer


def require_ended(session: Session, period_start: date) -> None:
    """Raise an error if the period has not ended yet.

    Raises:
        Conflict: `period_open`.
    """
    if not has_ended(period_start, now(session)):
        raise Conflict("period_open", period=period_start)


def require_issuer(session: Session) -> Issuer:
    """Return the issuer to copy into new invoices.

    Call this before a period is closed, so that a refusal changes nothing.

    Raises:
        Conflict: `issuer_incomplete` when the issuer's name or address is missing.
    """
    stored = session.exec(select(StoredIssuer)).one()
    if not (stored.name and stored.address):
        raise Conflict("issuer_incomplete")
    return Issuer(
        name=stored.name,
        address=stored.address,
        email=stored.email,
        payment_instructions=stored.payment_instructions,
    )
