"""Races with real threads and connections, concurrently or in a fixed order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from threading import Barrier
from typing import Any

from sqlalchemy import text
from sqlmodel import Session

from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM
from billing_app.errors import BillingError

Work = Callable[[Session], Any]

_BLOCKED = text("""
    SELECT EXISTS (SELECT FROM pg_stat_activity
                    WHERE datname = current_database() AND wait_event_type = 'Lock')
""")
# On Citus, a session can wait on the server that has the row.
_IS_DISTRIBUTED = text("SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')")
_BLOCKED_ANYWHERE = text("""
    SELECT EXISTS (SELECT FROM citus_stat_activity
                    WHERE datname = current_database() AND wait_event_type = 'Lock')
""")


@dataclass(frozen=True)
class Overlap:
    """The outcomes of two overlapping transactions. An error is an outcome too."""

    first: Any
    second: Any
    second_waited: bool


def overlap(database: Database, first: Work, second: Work) -> Overlap:
    """Run `second` after `first` has done its work but before it commits.

    `first` commits when `second` waits for it or has ended, so a missing lock is always detected.
    """
    with ThreadPoolExecutor(1) as pool:
        with database.transaction(SYSTEM) as session:
            done = first(session)
            session.flush()
            running = pool.submit(_outcome, database, second)
            waited = blocked_before_end(database, running)
        return Overlap(done, running.result(timeout=30), waited)


def blocked_before_end(database: Database, running: Future[Any]) -> bool:
    """Return as soon as it is known whether a session waits for a lock before `running` ends."""
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as observer:
        blocked = _BLOCKED_ANYWHERE if observer.scalar(_IS_DISTRIBUTED) else _BLOCKED
        while not running.done():
            if observer.scalar(blocked):
                return True
            wait([running], timeout=0.01)
    return False


def at_once(database: Database, works: Sequence[Work]) -> list[Any]:
    """Run all functions at the same time, each in its own thread and transaction."""
    barrier = Barrier(len(works))

    def run(work: Work) -> Any:
        barrier.wait(timeout=30)
        return _outcome(database, work)

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


def _outcome(database: Database, work: Work) -> Any:
    """Return the result of the committed work, or its error."""
    try:
        with database.transaction(SYSTEM) as session:
            return work(session)
    except BillingError as refusal:
        return refusal


def codes(outcomes: Sequence[Any]) -> list[str]:
    """Return the codes of the errors among the outcomes."""
    return [outcome.code for outcome in outcomes if isinstance(outcome, BillingError)]
