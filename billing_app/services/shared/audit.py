"""The audit log: who did what, when, to what, in the transaction of the deed itself."""

from __future__ import annotations

from typing import Any

from sqlmodel import Session

from billing_app.database.session import now
from billing_app.domain.actor import Actor
from billing_app.models import AuditEntry


def record(
    session: Session, actor: Actor, action: str, subject: str, **details: str | int | bool | None
) -> None:
    """Adds one entry: `action` such as `customer.created`, `subject` an id such as `cus_12`.

    The details are plain values for people; never a secret, never a password.
    """
    kept: dict[str, Any] = {name: value for name, value in details.items() if value is not None}
    session.add(
        AuditEntry(
            at=now(session),
            actor_id=actor.id,
            actor_name=actor.name,
            action=action,
            subject=subject,
            details=kept,
        )
    )
