"""Who bills: copied into every invoice made from then on."""

from __future__ import annotations

from dataclasses import dataclass

from sqlmodel import Session, select

from billing_app.domain.actor import Actor, Permission
from billing_app.models import Issuer
from billing_app.services.shared import audit, validation
from billing_app.services.shared.permissions import require

_THE_ONE = 1


@dataclass(frozen=True, slots=True)
class IssuerRow:
    """The issuer; all of it is empty until an admin has filled it in."""

    name: str
    address: str
    email: str
    payment_instructions: str
    version: int


def get_issuer(session: Session, actor: Actor) -> IssuerRow:
    """The issuer as the next invoice will carry it."""
    require(actor, Permission.READ)
    return _as_row(session.get_one(Issuer, _THE_ONE))


def update_issuer(
    session: Session,
    actor: Actor,
    *,
    name: str,
    address: str,
    email: str,
    payment_instructions: str,
    version: int | None = None,
) -> IssuerRow:
    """Replaces all that the issuer says; invoices that exist keep what they say.

    Raises Invalid, and Conflict `stale` with the newer values when `version` is not the newest.
    """
    require(actor, Permission.ADMINISTER)
    issuer = session.exec(select(Issuer).with_for_update().execution_options(populate_existing=True)).one()
    wanted = {
        "name": validation.line("name", name, at_most=validation.NAME_MAX),
        "address": validation.paragraph("address", address),
        "email": validation.email("email", email),
        "payment_instructions": validation.paragraph("payment_instructions", payment_instructions),
    }
    present = issuer.model_dump(include=set(wanted))
    validation.refuse_stale(version, issuer.version, **present)
    changed = {column: value for column, value in wanted.items() if present[column] != value}
    if changed:
        for column, value in changed.items():
            setattr(issuer, column, value)
        issuer.version += 1
        session.flush()
        audit.record(session, actor, "issuer.changed", "issuer", **changed)
    return _as_row(issuer)


def _as_row(issuer: Issuer) -> IssuerRow:
    return IssuerRow(
        name=issuer.name,
        address=issuer.address,
        email=issuer.email,
        payment_instructions=issuer.payment_instructions,
        version=issuer.version,
    )
