"""The read model kept up: counted anew in the background, again and again.

One process counts at a time, by an advisory lock. How long a count took decides when the next is
due, so that counting takes at most a tenth of the time, of all processes together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlmodel import Session, select

from billing_app.database import locks
from billing_app.database.session import Database, now
from billing_app.domain.actor import system
from billing_app.models import DashboardFigures
from billing_app.services.dashboard.figures import count_figures

# A fresh enough picture for a small business; the factor keeps a large one from always counting.
PAUSE_SECONDS_MIN = 5.0
PAUSE_FACTOR = 10

_COUNTING = system("figures")
Progress = Callable[[object], None]


def refresh_figures(database: Database, on_progress: Progress = lambda step: None) -> datetime:
    """Counts everything that was committed before this call, and answers as of which moment.

    Waits for whoever is counting.
    """
    with _alone(database, "SELECT pg_advisory_xact_lock(:counting)"):
        return _count(database, on_progress)


def keep_figures(database: Database, on_progress: Progress = lambda step: None) -> None:
    """Counts when it is due and nobody else does: at once without figures, else after a pause."""
    with _alone(database, "SELECT pg_try_advisory_xact_lock(:counting)") as alone:
        if alone and database.run(_COUNTING, _is_due):
            _count(database, on_progress)


def _is_due(session: Session) -> bool:
    kept = session.scalar(select(DashboardFigures))
    if kept is None:
        return True
    pause = timedelta(seconds=max(PAUSE_SECONDS_MIN, PAUSE_FACTOR * kept.seconds))
    # Figures of a later moment are those of a clock that was set back.
    return not kept.as_of <= now(session) < kept.as_of + pause


@contextmanager
def _alone(database: Database, lock: str) -> Iterator[bool]:
    """Whether nobody else counts, for as long as the block lasts; the lock is held by a transaction that
    does nothing else, so that the count's snapshot is taken after the count before was committed."""
    with database.transaction(_COUNTING) as session:
        yield session.scalar(text(lock), {"counting": locks.COUNTING}) is not False


def _count(database: Database, on_progress: Progress) -> datetime:
    with database.transaction(_COUNTING, isolation="REPEATABLE READ") as session:
        return count_figures(session, on_progress)
