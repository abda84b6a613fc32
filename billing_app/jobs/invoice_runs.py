"""A month's invoices for everyone: chunk by chunk, each closed and then invoiced.

Two halves of a chunk are dealt with at once: while one is being computed here, the database takes
in the other.

A run is a row; whoever executes it holds a lock of its own connection, which is gone with the
process. Killed at any point, it goes on after its last committed chunk: when it is started again,
or by itself, in the background of a server.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from datetime import date
from threading import Event

from sqlmodel import Session

from billing_app.database import locks
from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM, Actor, Permission, system
from billing_app.jobs.leadership import only_one
from billing_app.jobs.retries import attempting
from billing_app.services.invoices.closing import BlockedCustomer, close_period
from billing_app.services.invoices.generation import PeriodOutcome, invoice_period
from billing_app.services.invoices.runs import (
    Failure,
    RunRow,
    RunSummary,
    add_progress,
    find_running,
    finish_run,
    get_run,
    lock_progress,
    next_customers,
    note_failed_attempt,
    start_run,
)
from billing_app.services.shared.permissions import require
from billing_app.services.shared.reasons import Reason

# Large enough that the statements' fixed costs vanish, small enough to hold the gate for some tens
# of milliseconds and a chunk's lines in some tens of megabytes.
CHUNK_CUSTOMERS = 10_000

Progress = Callable[[RunRow], None]


def run_invoices(
    database: Database, actor: Actor, period_start: date, on_progress: Progress = lambda run: None
) -> RunRow:
    """Starts the period's run or goes on with the one that was left, to its end.

    While another process executes it, answers with that one's progress as it is. Raises Conflict
    (`period_open`).
    """
    run = database.run(actor, lambda session: start_run(session, actor, period_start))
    return execute_run(database, actor, run, on_progress)


def go_on_invoicing(database: Database, on_progress: Progress = lambda run: None) -> None:
    """Executes the runs that are under way and nobody executes, the oldest month first.

    Younger months wait behind one that somebody else executes: their invoices come after its.
    """
    while run := database.call(SYSTEM, find_running):
        with attempting(database, run.public_id, note_failed_attempt):
            if execute_run(database, SYSTEM, run, on_progress).status == "running":
                return


def execute_run(
    database: Database, actor: Actor, run: RunSummary, on_progress: Progress = lambda run: None
) -> RunRow:
    """Executes a run from where it is, unless somebody else does; answers how it stands then."""
    require(actor, Permission.INVOICE)
    worker = system(run.public_id, on_behalf_of=run.started_by)
    with sole_execution(database, actor, run) as alone:
        while alone and _do_chunk(database, worker, run):
            on_progress(_reload(database, actor, run))
        if alone:
            database.run(worker, lambda session: finish_run(session, worker, run.public_id))
    return _reload(database, actor, run)


def _do_chunk(database: Database, worker: Actor, run: RunSummary) -> bool:
    """Deals with the next customers; False when there are none left, or the run was cancelled."""
    with database.transaction(worker) as session:
        customer_ids = next_customers(session, worker, run.public_id, CHUNK_CUSTOMERS)
    if not customer_ids:
        return False
    middle = (len(customer_ids) + 1) // 2
    first, second = customer_ids[:middle], customer_ids[middle:]
    counting = Event()
    with ThreadPoolExecutor(1) as pool:
        blocked = _close(database, worker, run, first)
        ahead = pool.submit(_invoice, database, worker, run, first, blocked, counting=counting)
        if second:
            blocked = _close(database, worker, run, second)
            counting.wait()
            _invoice(database, worker, run, second, blocked, after=first[-1])
        ahead.result()
    return True


def _close(
    database: Database, worker: Actor, run: RunSummary, customer_ids: list[int]
) -> tuple[BlockedCustomer, ...]:
    return database.run(
        worker,
        lambda session: close_period(
            session, worker, period_start=run.period_start, customer_ids=customer_ids
        ),
    )


class _OutOfTurn(Exception):
    """The customers before these were not dealt with, or somebody else dealt with these."""


def _invoice(
    database: Database,
    worker: Actor,
    run: RunSummary,
    customer_ids: list[int],
    blocked: Sequence[BlockedCustomer],
    *,
    counting: Event | None = None,
    after: int = 0,
) -> None:
    """Invoices these customers; undone, for the next chunk to do it, when the half before is undone.

    So the run's mark never passes over customers that were not dealt with. The first half locks the
    mark before anything else and tells so by `counting`; the second waits for it in the database,
    holding its customers' billing rows: where the database sees the wait, it can end a deadlock.
    """

    def work(session: Session) -> None:
        if counting:
            through = lock_progress(session, worker, run.public_id)
            counting.set()
        done = invoice_period(session, worker, period_start=run.period_start, customer_ids=customer_ids)
        if not counting:
            through = lock_progress(session, worker, run.public_id)
        if not after <= through < customer_ids[0]:
            raise _OutOfTurn
        add_progress(
            session,
            worker,
            run.public_id,
            through_customer_id=customer_ids[-1],
            made=len(done.created),
            existing=len(done.existing),
            passed=len(done.skipped),
            failed=_refused(blocked, done),
        )

    try:
        with suppress(_OutOfTurn):
            database.run(worker, work)
    finally:
        if counting:
            counting.set()


def _refused(blocked: Sequence[BlockedCustomer], done: PeriodOutcome) -> list[Failure]:
    """Those that an older month was in the way of, unless somebody has invoiced both since."""
    answered = {*done.existing, *done.skipped, *(each.customer_id for each in done.created)}
    return [
        Failure(each.customer_id, Reason.of(each.as_conflict()))
        for each in blocked
        if each.customer_id not in answered
    ]


def _reload(database: Database, actor: Actor, run: RunSummary) -> RunRow:
    with database.transaction(actor) as session:
        return get_run(session, actor, run.public_id)


def sole_execution(database: Database, actor: Actor, run: RunSummary) -> AbstractContextManager[bool]:
    """Whether this process is the one that executes the run, for as long as the block lasts."""
    return only_one(database, actor, locks.RUN, run.run_id)
