"""Verifications: at most one is running, and each keeps its report."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import ColumnElement, Update, select, text, true, update
from sqlmodel import Session, col

from billing_app.database.session import now
from billing_app.domain.actor import Actor, Permission
from billing_app.errors import NotFound
from billing_app.models import Verification
from billing_app.services.shared import audit
from billing_app.services.shared.ids import get_number, public_id
from billing_app.services.shared.permissions import require
from billing_app.services.shared.reasons import Reason
from billing_app.services.verification.report import Report


@dataclass(frozen=True, slots=True)
class VerificationRow:
    """A verification. While it is running, `report` has the counts so far and `ok` is None.

    `fault` says why a failed verification failed.
    """

    verification_id: int
    started_by: str
    started_at: datetime
    finished_at: datetime | None
    ok: bool | None
    report: Report
    fault: Reason | None

    @property
    def public_id(self) -> str:
        """Return the id, such as `ver_3`."""
        return public_id("ver", self.verification_id)

    @property
    def status(self) -> Literal["running", "done", "failed"]:
        """Return whether it is running, done or failed."""
        if self.fault:
            return "failed"
        return "done" if self.finished_at else "running"


_START = text("""
    INSERT INTO verification (started_by, started_at, attempts) VALUES (:by, :at, 0)
    ON CONFLICT DO NOTHING RETURNING verification_id
""")
_RUNNING = col(Verification.finished_at).is_(None)


def start_verification(session: Session, actor: Actor) -> VerificationRow:
    """Start a verification, or return the one that is already running.

    A partial unique index ensures that concurrent calls return the same verification.
    """
    require(actor, Permission.VERIFY)
    while True:
        started = session.scalar(_START, {"by": actor.id, "at": now(session)})
        if started is not None:
            audit.record(session, actor, "verification.started", public_id("ver", started))
        if found := _find(session, _RUNNING):
            return found
        # The running verification ended after the insert conflicted with it and before it was read.


def find_running(session: Session, actor: Actor) -> VerificationRow | None:
    """Return the running verification, even if no process is executing it."""
    require(actor, Permission.READ)
    return _find(session, _RUNNING)


def get_verification(session: Session, actor: Actor, verification: str) -> VerificationRow:
    """Return the verification with this id, `ver_3`. Raises NotFound (`verification_not_found`)."""
    require(actor, Permission.READ)
    number = get_number("ver", verification, "verification")
    found = _find(session, col(Verification.verification_id) == number)
    if found is None:
        raise NotFound("verification_not_found", named=verification)
    return found


def get_latest(session: Session, actor: Actor) -> VerificationRow:
    """Return the newest verification with a result. Raises NotFound (`verification_not_found`)."""
    require(actor, Permission.READ)
    found = _find(session, col(Verification.ok).is_not(None))
    if found is None:
        raise NotFound("verification_not_found")
    return found


def find_failed(session: Session, actor: Actor) -> VerificationRow | None:
    """Return the newest verification if it failed, otherwise None."""
    require(actor, Permission.READ)
    newest = _find(session, true())
    return newest if newest and newest.fault else None


def count_failed_attempt(
    session: Session, actor: Actor, verification: str, reason: Reason, *, attempts_max: int
) -> bool:
    """Count a failure, and mark the verification as failed after `attempts_max` of them.

    Returns whether it is marked as failed.
    """
    require(actor, Permission.VERIFY)
    attempts = session.scalar(
        _update_running(verification)
        .values(attempts=Verification.attempts + 1)
        .returning(col(Verification.attempts))
    )
    if attempts is None or attempts < attempts_max:
        return False
    session.execute(_update_running(verification).values(finished_at=now(session), fault=reason.as_json()))
    audit.record(session, actor, "verification.failed", verification, fault=reason.code)
    return True


def keep_progress(session: Session, actor: Actor, verification: str, report: Report) -> None:
    """Store the counts so far. Does nothing if the verification has ended."""
    require(actor, Permission.VERIFY)
    session.execute(_update_running(verification).values(report=report.as_json()))


def finish_verification(session: Session, actor: Actor, verification: str, report: Report) -> None:
    """End a running verification and store its report. Does nothing if it has ended."""
    require(actor, Permission.VERIFY)
    ended = session.scalar(
        _update_running(verification)
        .values(finished_at=now(session), ok=report.ok, report=report.as_json())
        .returning(col(Verification.verification_id))
    )
    if ended is not None:
        audit.record(session, actor, "verification.finished", verification, ok=report.ok)


def _update_running(verification: str) -> Update:
    return update(Verification).where(
        col(Verification.verification_id) == get_number("ver", verification, "verification"), _RUNNING
    )


def _find(session: Session, condition: ColumnElement[bool]) -> VerificationRow | None:
    """Return the newest verification that meets the condition."""
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
        verification_id=found.verification_id,
        started_by=found.started_by,
        started_at=found.started_at,
        finished_at=found.finished_at,
        ok=found.ok,
        report=Report.from_json(found.report) if found.report else Report(),
        fault=Reason.from_json(found.fault) if found.fault else None,
    )
