"""The audit log."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, Field

from billing_app.api.wire.calls import Caller
from billing_app.api.wire.pagination import Page, Paged, page_of
from billing_app.api.wire.routing import resource
from billing_app.api.wire.values import Timestamp
from billing_app.services.audit import log as audit_log
from billing_app.services.audit.log import AuditRow

router = resource("/audit", "Audit")


class AuditActor(BaseModel):
    """A user, an API token, or the system."""

    id: str = Field(examples=["usr_4"])
    name: str = Field(examples=["Ada Admin"])


class AuditEntry(BaseModel):
    """An entry for one change. It is recorded together with the change and can't be altered."""

    at: Timestamp
    actor: AuditActor
    on_behalf_of: str | None = Field(
        description="The ID of the actor who started this background work; null when the actor acted directly.",
        examples=["usr_4"],
    )
    action: str = Field(examples=["customer.created"])
    subject: str = Field(description="The ID of what changed, or an invoice's number.", examples=["cus_12"])
    details: dict[str, str | int | bool] = Field(examples=[{"name": "Acme"}])


@router.get("")
def list_audit_entries(
    call: Caller,
    paged: Paged,
    subject: Annotated[
        str | None,
        Query(min_length=1, description="Only entries about this ID or invoice number, such as `cus_12`."),
    ] = None,
    actor: Annotated[
        str | None,
        Query(
            min_length=1,
            description="Only changes by this actor, such as `usr_4`, including background work they started.",
        ),
    ] = None,
) -> Page[AuditEntry]:
    """List audit entries, newest first."""
    page = call.do(audit_log.list_audit_entries, subject=subject, actor_id=actor, **paged)
    return page_of(page, _as_entry)


def _as_entry(row: AuditRow) -> AuditEntry:
    return AuditEntry(
        at=row.at,
        actor=AuditActor(id=row.actor_id, name=row.actor_name),
        on_behalf_of=row.on_behalf_of,
        action=row.action,
        subject=row.subject,
        details=row.details,
    )
