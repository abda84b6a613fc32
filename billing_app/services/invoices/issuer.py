"""The issuer: the company details that are copied into every new invoice."""

from __future__ import annotations

from dataclasses import dataclass

from sqlmodel import Session, select

from billing_app.domain.actor import Actor, Permission
from billing_app.models import Issuer
from billing_app.services.shared import audit, validation
from billing_app.services.shared.permissions import require

_ISSUER_ID = 1


@dataclass(frozen=True, slots=True)
class IssuerRow:
    """The issuer. Every field is empty until an admin has saved the company details."""

    name: str
    address: str
    email: str
    payment_instructions: str
    version: int

    @property
    def is_complete(self) -> bool:
        """Whether it has the name and address that an invoice needs."""
        return bool(self.name and self.address)


def get_issuer(session: Session, actor: Actor) -> IssuerRow:
    """Return the issuer as the next invoice will show it."""
    require(actor, Permission.READ)
    return _as_row(session.get_one(Issuer, _ISSUER_ID))


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
    """Replace every field of the issuer. Existing invoices keep their copy.

    Raises:
        Invalid: A field breaks a rule. `name`, `address` and `email` are required.
        Conflict: `stale`, with the newer values, if `version` is outdated.
    """
    require(actor, Permission.ADMINISTER)
    issuer = session.exec(select(Issuer).with_for_update().execution_options(populate_existing=True)).one()
    new = {
        "name": validation.line("name", name, at_most=validation.NAME_MAX),
        "address": validation.paragraph("address", address, required=True),
        "email": validation.email("email", email),
        "payment_instructions": validation.paragraph("payment_instructions", payment_instructions),
    }
    current = issuer.model_dump(include=set(new))
    validation.refuse_stale(version, issuer.version, **current)
    changed = {column: value for column, value in new.items() if current[column] != value}
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
