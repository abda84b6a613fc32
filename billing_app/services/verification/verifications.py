"""The records of verifications: at most one under way, and what each found."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, text, true, update
from sqlmodel import Session, col

from billing_app.database.session import now
from billing_app.domain.actor import Actor, Permission
from billing_app.errors import NotFound
from billing_app.models import Verification
from billing_app.services.shared import audit, faults
from billing_app.services.shared.ids import get_number, public_id
from billing_app.services.shared.permissions import require
from billing_app.services.shared.reasons import Reason


@dataclass(frozen=True, slots=True)
class VerificationRow:
    """One verification: `report` holds the counts and differences by name, those so far while it is
    under way; it is empty before the first of them. `fault`: why it was given up."""

    verification_id: int
    started_by: str
    started_at: datetime
    finished_at: datetime | None
    ok: bool | None
    report: dict[str, Any]
    fault: Reason | None

    @property
    def public_id(self) -> str:
        """`ver_3`."""
        return public_id("ver", self.verification_id)

    @property
    def status(self) -> str:
        """`running`, `done` or `failed`."""
        if self.fault:
            return "failed"
        return "done" if self.finished_at else "running"


_START = text("""
    INSERT INTO verification (started_by, started_at, attempts) VALUES (:by, :at, 0)
    ON CONFLICT DO NOTHING RETURNING verification_id
""")
_RUNNING = col(Verification.finished_at).is_(None)


def start_verification(session: Session, actor: Actor) -> VerificationRow:
    """The one verification under way: a new one, or the one that is there.

    Two starts at once get the same one (a partial unique index).
    """
    require(actor, Permission.VERIFY)
    while True:
        started = session.scalar(_START, {"by": actor.id, "at": now(session)})
        if started is not None:
            audit.record(session, actor, "verification.started", public_id("ver", started))
        if found := _find(session, _RUNNING):
            return found
        # The one that was in the way has just ended.


def find_running(session: Session, actor: Actor) -> VerificationRow | None:
    """The verification under way, whoever executes it or left it."""
    require(actor, Permission.READ)
    return _find(session, _RUNNING)


def get_verification(session: Session, actor: Actor, verification: str) -> VerificationRow:
    """A verification by its id, `ver_3`. Raises NotFound (`verification_not_found`)."""
    require(actor, Permission.READ)
    number = get_number("ver", verification, "verification")
    found = _find(session, col(Verification.verification_id) == number)
    if found is None:
        raise NotFound("verification_not_found", named=verification)
    return found


def get_latest(session: Session, actor: Actor) -> VerificationRow:
    """The newest that has judged. Raises NotFound (`verification_not_found`) before the first."""
    require(actor, Permission.READ)
    found = _find(session, col(Verification.ok).is_not(None))
    if found is None:
        raise NotFound("verification_not_found")
    return found


def find_given_up(session: Session, actor: Actor) -> VerificationRow | None:
    """The newest verification of all, when it was given up."""
    require(actor, Permission.READ)
    newest = _find(session, true())
    return newest if newest and newest.fault else None


def note_failed_attempt(session: Session, actor: Actor, verification: str, reason: Reason) -> bool:
    """Counts that it failed; too often, and it is given up for the reason. Answers whether it is."""
    require(actor, Permission.VERIFY)
    attempts = session.scalar(
        _running(verification)
        .values(attempts=Verification.attempts + 1)
        .returning(col(Verification.attempts))
    )
    if attempts is None or attempts < faults.ATTEMPTS_MAX:
        return False
    session.execute(_running(verification).values(finished_at=now(session), fault=reason.as_json()))
    audit.record(session, actor, "verification.failed", verification, fault=reason.code)
    return True


def note_progress(session: Session, actor: Actor, verification: str, report: dict[str, Any]) -> None:
    """Keeps what is counted so far, for those who look; a finished one stays as it is."""
    require(actor, Permission.VERIFY)
    session.execute(_running(verification).values(report=report))


def finish_verification(
    session: Session, actor: Actor, verification: str, *, ok: bool, report: dict[str, Any]
) -> None:
    """Ends the one under way with what it found, for good; a finished one stays as it is."""
    require(actor, Permission.VERIFY)
    ended = session.scalar(
        _running(verification)
        .values(finished_at=now(session), ok=ok, report=report)
        .returning(col(Verification.verification_id))
    )
    if ended is not None:
        audit.record(session, actor, "verification.finished", verification, ok=ok)


def _running(verification: str) -> Any:
    return update(Verification).where(
        col(Verification.verification_id) == get_number("ver", verification, "verification"), _RUNNING
    )


def _find(session: Session, condition: Any) -> VerificationRow | None:
    """The newest of those that the condition selects."""
    found = session.scalar(
        select(Verification)
        .where(condition)
        .order_by(col(Verification.finished_at).desc(), col(Verification.verification_id).desc())
        .limit(1)
        .execution_options(populate_existing=True)
    )
    if found is None:
        return None
    assert found.verification_id is not None
    return VerificationRow(
        found.verification_id,
        found.started_by,
        found.started_at,
        found.finished_at,
        found.ok,
        found.report or {},
        Reason.from_json(found.fault) if found.fault else None,
    )
