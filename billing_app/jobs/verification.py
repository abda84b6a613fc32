"""Verification: a recomputation in one snapshot, and the record of what it found.

A verification is a row from its start on. Whoever executes one holds the one lock of verifying,
which is gone with the process: what was left by a killed process is executed again, from the
start, by the server's background or by the next `billing verify`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict

from sqlalchemy import text

from billing_app.database import locks
from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM, Actor, Permission, system
from billing_app.jobs.retries import attempting
from billing_app.services.shared.permissions import require
from billing_app.services.verification.recomputation import Report, recompute, still_awaiting
from billing_app.services.verification.verifications import (
    VerificationRow,
    find_running,
    finish_verification,
    note_failed_attempt,
    note_progress,
    start_verification,
)

# Closing a month and making its invoice are two transactions, some milliseconds apart.
AWAIT_SECONDS = 2.0
_LOOK_EVERY_SECONDS = 0.05

Progress = Callable[[Report], None]


def verify(database: Database, actor: Actor, on_progress: Progress = lambda report: None) -> Report:
    """Recomputes everything as of one moment after this call, under load or not; keeps the report.

    Waits for the verification that somebody else is executing. One that was started and is not
    being executed is executed now: it and this one are the same.
    """
    require(actor, Permission.VERIFY)
    with _alone(database, actor, "SELECT pg_advisory_xact_lock(:verifying)"):
        row = database.call(actor, start_verification)
        return _execute(database, row, on_progress)


def go_on_verifying(database: Database, on_progress: Progress = lambda report: None) -> None:
    """Executes the verification that is under way, if there is one and nobody else does."""
    with _alone(database, SYSTEM, "SELECT pg_try_advisory_xact_lock(:verifying)") as alone:
        row = database.call(SYSTEM, find_running) if alone else None
        if row:
            with attempting(database, row.public_id, note_failed_attempt):
                _execute(database, row, on_progress)


@contextmanager
def _alone(database: Database, actor: Actor, lock: str) -> Iterator[bool]:
    """Whether nobody else verifies, for as long as the block lasts; the lock is held by a transaction
    that does nothing else."""
    with database.transaction(actor) as session:
        yield session.scalar(text(lock), {"verifying": locks.VERIFYING}) is not False


def _execute(database: Database, row: VerificationRow, on_progress: Progress) -> Report:
    """The recomputation itself runs READ ONLY; its progress and its report are written beside it."""
    worker = system(row.public_id, on_behalf_of=row.started_by)

    def note(report: Report) -> None:
        database.call(worker, note_progress, row.public_id, asdict(report))
        on_progress(report)

    with database.transaction(worker, isolation="REPEATABLE READ", read_only=True) as session:
        report = recompute(session, worker, note)
    _judge_awaiting(database, worker, report)
    database.call(worker, finish_verification, row.public_id, ok=report.ok, report=asdict(report))
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
