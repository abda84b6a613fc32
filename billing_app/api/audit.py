"""The audit log."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel, Field

from billing_app.api.wire.calls import Caller
from billing_app.api.wire.pagination import Page, Paged, page_of
from billing_app.api.wire.routing import resource
from billing_app.api.wire.values import Timestamp
from billing_app.services.audit import log as audit_log
from billing_app.services.audit.log import AuditRow

router = resource("/audit", "Audit")


class ActorOfEntry(BaseModel):
    """Who did it: a user, an API token, or the system for somebody."""

    id: str = Field(examples=["usr_4"])
    name: str = Field(examples=["Ada Admin"])


class AuditEntry(BaseModel):
    """One deed, written in the transaction of the deed itself."""

    at: Timestamp
    actor: ActorOfEntry
    action: str = Field(examples=["customer.created"])
    subject: str = Field(examples=["cus_12"])
    details: dict[str, Any] = Field(examples=[{"name": "Acme"}])


@router.get("")
def list_audit_entries(
    call: Caller,
    paged: Paged,
    subject: Annotated[str | None, Query(description="An id or number, such as `cus_12`.")] = None,
    actor: Annotated[str | None, Query(description="An id, such as `usr_4`.")] = None,
) -> Page[AuditEntry]:
    """List what was done, the newest first."""
    return page_of(call.do(audit_log.list_audit_entries, subject=subject, actor_id=actor, **paged), _entry_of)


def _entry_of(row: AuditRow) -> AuditEntry:
    return AuditEntry(
        at=row.at,
        actor=ActorOfEntry(id=row.actor_id, name=row.actor_name),
        action=row.action,
        subject=row.subject,
        details=row.details,
    )
