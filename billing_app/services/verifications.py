"""The kept reports of verifications."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlmodel import Session, col

from billing_app.db import now
from billing_app.domain.actor import Actor, Permission
from billing_app.errors import NotFound
from billing_app.models import Verification
from billing_app.services import audit
from billing_app.services.access import require
from billing_app.services.ids import public_id


@dataclass(frozen=True, slots=True)
class VerificationRow:
    """One verification: `report` holds the counts and differences by name."""

    verification_id: int
    started_by: str
    started_at: datetime
    finished_at: datetime
    ok: bool
    report: dict[str, Any]


def save_verification(
    session: Session, actor: Actor, started_at: datetime, ok: bool, report: dict[str, Any]
) -> None:
    """Keeps what a verification found, for those who may not run one."""
    require(actor, Permission.VERIFY)
    kept = Verification(
        started_by=actor.id, started_at=started_at, finished_at=now(session), ok=ok, report=report
    )
    session.add(kept)
    session.flush()
    assert kept.verification_id is not None
    audit.record(session, actor, "verification.finished", public_id("ver", kept.verification_id), ok=ok)


def get_latest(session: Session, actor: Actor) -> VerificationRow:
    """The newest verification. Raises NotFound (`verification_not_found`) before the first."""
    require(actor, Permission.READ)
    found = session.scalar(
        select(Verification)
        .order_by(col(Verification.finished_at).desc(), col(Verification.verification_id).desc())
        .limit(1)
    )
    if found is None:
        raise NotFound("nothing was verified yet", code="verification_not_found")
    assert found.verification_id is not None
    return VerificationRow(
        found.verification_id,
        found.started_by,
        found.started_at,
        found.finished_at,
        found.ok,
        found.report,
    )
