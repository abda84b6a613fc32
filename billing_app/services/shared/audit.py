"""Writing the audit log: who did what, when, and to what, in the transaction of the change itself."""

from __future__ import annotations

from typing import Any

from sqlmodel import Session

from billing_app.database.session import now
from billing_app.domain.actor import Actor
from billing_app.models import AuditEntry


def record(
    session: Session, actor: Actor, action: str, subject: str, **details: str | int | bool | None
) -> None:
    """Add one entry to the audit log.

    `action` is a subject and a verb in the past tense, such as `customer.created`; `subject` is an
    ID such as `cus_12`. Details that are None are left out. They must never contain a secret.
    """
    given: dict[str, Any] = {name: value for name, value in details.items() if value is not None}
    session.add(
        AuditEntry(
            at=now(session),
            actor_id=actor.id,
            actor_name=actor.name,
            on_behalf_of=actor.on_behalf_of,
            action=action,
            subject=subject,
            details=given,
        )
    )
