"""Count the figures of lists and the dashboard regularly in the background.

One process counts at a time. The pause after a count is a multiple of its duration, so that all processes
together count for at most a tenth of the time.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlmodel import Session, select

from billing_app.database import locks
from billing_app.database.session import Database, now
from billing_app.domain.actor import system
from billing_app.jobs.leadership import lock, try_lock
from billing_app.models import DashboardFigures
from billing_app.services.dashboard.figures import count_figures

# The shortest pause, which is short enough for a small business. The factor applies to larger ones.
PAUSE_SECONDS_MIN = 5.0
PAUSE_FACTOR = 10

_COUNTER = system("figures")
OnProgress = Callable[[str], None]


def refresh_figures(database: Database, on_progress: OnProgress = lambda step: None) -> datetime:
    """Count everything that was committed before this call, and return the time of the snapshot.

    Waits for a count in progress.
    """
    with lock(database, _COUNTER, locks.COUNTING):
        return _count(database, on_progress)


def keep_figures_current(database: Database, on_progress: OnProgress = lambda step: None) -> None:
    """Count if a count is due and no process is counting."""
    with try_lock(database, _COUNTER, locks.COUNTING) as is_free:
        if is_free and database.run(_COUNTER, _is_due):
            _count(database, on_progress)


def _is_due(session: Session) -> bool:
    figures = session.scalar(select(DashboardFigures))
    if figures is None:
        return True
    pause = timedelta(seconds=max(PAUSE_SECONDS_MIN, PAUSE_FACTOR * figures.seconds))
    # Figures from the future mean that the clock was set back.
    return not figures.as_of <= now(session) < figures.as_of + pause


def _count(database: Database, on_progress: OnProgress) -> datetime:
    """Count in a snapshot taken while the lock is held, which is after the commit of the previous count."""
    with database.transaction(_COUNTER, isolation="REPEATABLE READ") as session:
        return count_figures(session, on_progress)
