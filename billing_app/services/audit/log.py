"""Listing the audit log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, func
from sqlmodel import Session, col, select, tuple_

from billing_app.domain.actor import Actor, Permission
from billing_app.models import AuditEntry
from billing_app.services.shared import validation
from billing_app.services.shared.pagination import LIMIT_DEFAULT, Page, check_limit, decode_cursor, page_of
from billing_app.services.shared.permissions import require

Detail = str | int | bool


@dataclass(frozen=True, slots=True)
class AuditRow:
    """An audit entry. `subject`, `actor_id` and `on_behalf_of` are IDs such as `cus_12` and `usr_4`."""

    audit_id: int
    at: datetime
    actor_id: str
    actor_name: str
    on_behalf_of: str | None
    action: str
    subject: str
    details: dict[str, Detail]


def list_audit_entries(
    session: Session,
    actor: Actor,
    *,
    subject: str | None = None,
    actor_id: str | None = None,
    limit: int = LIMIT_DEFAULT,
    cursor: str | None = None,
) -> Page[AuditRow]:
    """List audit entries, newest first.

    `actor_id` selects what an actor did, including background work that the actor started.
    """
    require(actor, Permission.READ)
    newest_first = col(AuditEntry.at).desc(), col(AuditEntry.audit_id).desc()
    query = select(AuditEntry).order_by(*newest_first).limit(check_limit(limit) + 1)
    if subject:
        subject = validation.line("subject", subject, at_most=validation.NAME_MAX)
        query = query.where(AuditEntry.subject == subject)
    if actor_id:
        actor_id = validation.line("actor", actor_id, at_most=validation.NAME_MAX)
        query = query.where(responsible_id() == actor_id)
    after = decode_cursor(cursor, datetime, int)
    if after:
        query = query.where(tuple_(col(AuditEntry.at), col(AuditEntry.audit_id)) < tuple_(*after))
    rows = [_as_row(entry) for entry in session.exec(query)]
    return page_of(rows, limit, lambda row: (row.at, row.audit_id))


def responsible_id() -> ColumnElement[str]:
    """Return the indexed SQL expression for who acted or who started the background work."""
    return func.coalesce(col(AuditEntry.on_behalf_of), col(AuditEntry.actor_id))


def _as_row(entry: AuditEntry) -> AuditRow:
    assert entry.audit_id is not None
    return AuditRow(
        audit_id=entry.audit_id,
        at=entry.at,
        actor_id=entry.actor_id,
        actor_name=entry.actor_name,
        on_behalf_of=entry.on_behalf_of,
        action=entry.action,
        subject=entry.subject,
        details=entry.details,
    )
