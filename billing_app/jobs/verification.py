"""Verification: a recomputation in one snapshot, and the record of what it found."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime

from sqlmodel import Session

from billing_app.db import Database, now
from billing_app.domain.actor import Actor
from billing_app.services.recomputation import Report, recompute, still_awaiting
from billing_app.services.verifications import save_verification

# Closing a month and making its invoice are two transactions, some milliseconds apart.
AWAIT_SECONDS = 2.0
_LOOK_EVERY_SECONDS = 0.05


def verify(
    database: Database, actor: Actor, on_progress: Callable[[Report], None] = lambda report: None
) -> Report:
    """Recomputes everything as of one moment, under load or not, and keeps the report.

    The recomputation runs READ ONLY; only its report is written, afterwards.
    """
    with database.transaction(actor, isolation="REPEATABLE READ", read_only=True) as session:
        started_at: datetime = now(session)
        report = recompute(session, actor, on_progress)
    _judge_awaiting(database, actor, report)

    def save(session: Session) -> None:
        save_verification(session, actor, started_at, report.ok, asdict(report))

    database.run(actor, save)
    return report


def _judge_awaiting(database: Database, actor: Actor, report: Report) -> None:
    """Makes a difference of each closed month without an invoice that nobody is about to make.

    Who was between the two transactions at the snapshot has a moment to finish.
    """
    missing = report.awaiting_invoice
    deadline = time.monotonic() + AWAIT_SECONDS
    while missing:
        with database.transaction(actor, read_only=True) as session:
            missing = still_awaiting(session, actor, missing)
        if time.monotonic() > deadline:
            break
        time.sleep(_LOOK_EVERY_SECONDS)
    for each in missing:
        report.differs(f"{each.customer_key} {each.period}: closed, and not invoiced")
