"""Verification: a recomputation in one snapshot, and the record of what it found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime

from sqlmodel import Session

from billing_app.db import Database, now
from billing_app.domain.actor import Actor
from billing_app.services.recomputation import Report, recompute
from billing_app.services.verifications import save_verification


def verify(
    database: Database, actor: Actor, on_progress: Callable[[Report], None] = lambda report: None
) -> Report:
    """Recomputes everything as of one moment, under load or not, and keeps the report.

    The recomputation runs READ ONLY; only its report is written, afterwards.
    """
    with database.transaction(actor, isolation="REPEATABLE READ", read_only=True) as session:
        started_at: datetime = now(session)
        report = recompute(session, actor, on_progress)

    def save(session: Session) -> None:
        save_verification(session, actor, started_at, report.ok, asdict(report))

    database.run(actor, save)
    return report
