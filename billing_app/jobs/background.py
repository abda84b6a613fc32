"""The background workers of a server: invoice runs, verifications, simulations, imports and figures.

All work is stored in the database. One thread for each kind of work looks for it: immediately after this
process has started some, and every few seconds for work that other processes started or left behind when they
were killed. If several processes find the same work, a lock lets one of them do it. Work that fails is
retried and fails for good after a few attempts (`jobs.retries`). A thread may end with its process at any
point: the work resumes at the next start.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from threading import Event, Thread
from typing import Any

from billing_app.database.session import Database, is_unavailable
from billing_app.jobs.figures import keep_figures_current
from billing_app.jobs.invoice_runs import resume_invoice_runs
from billing_app.jobs.retries import Stopped
from billing_app.jobs.simulations import resume_simulation
from billing_app.jobs.usage_imports import check_files, import_files
from billing_app.jobs.verification import resume_verification

logger = logging.getLogger(__name__)

LOOK_EVERY_SECONDS = 5.0
PAUSE_SECONDS_MAX = 60.0

Work = Callable[[Database, Callable[[Any], None]], None]
"""Does all pending work of one kind. Regularly calls its second argument, which may raise `Stopped`."""

# A thread for each kind, so that a long import delays neither an invoice run nor the check of the next file.
WORK: dict[str, Work] = {
    "invoicing": resume_invoice_runs,
    "verifying": resume_verification,
    "simulating": resume_simulation,
    "checking small files": partial(check_files, lane="small"),
    "checking large files": partial(check_files, lane="large"),
    "importing small files": partial(import_files, lane="small"),
    "importing large files": partial(import_files, lane="large"),
    "counting figures": keep_figures_current,
}


class Worker(Thread):
    """Does one kind of work for as long as the process lives."""

    def __init__(self, kind: str, database: Database, work: Work) -> None:
        super().__init__(name=f"background {kind}", daemon=True)
        self._kind, self._database, self._work = kind, database, work
        self._woken, self._stopping = Event(), Event()

    def wake(self) -> None:
        """Look for work now, or again after the current work."""
        self._woken.set()

    def stop(self) -> None:
        """Request a stop at the next chunk of work, without waiting for it."""
        self._stopping.set()
        self._woken.set()

    def run(self) -> None:
        """Look for work, do it, and pause, until stopped. Failures are logged and lengthen the pause."""
        pause = LOOK_EVERY_SECONDS
        while not self._stopping.is_set():
            self._woken.clear()
            try:
                self._work(self._database, self._raise_if_stopping)
                pause = LOOK_EVERY_SECONDS
            except Stopped:
                return
            except Exception as error:  # noqa: BLE001 - whatever failed is tried again
                if self._stopping.is_set():
                    return
                self._log(error)
                pause = min(2 * pause, PAUSE_SECONDS_MAX)
            self._woken.wait(pause)

    def _raise_if_stopping(self, _progress: object) -> None:
        if self._stopping.is_set():
            raise Stopped

    def _log(self, error: Exception) -> None:
        if is_unavailable(error):
            self._database.outages.report(f"background work ({self._kind})", error)
        else:
            logger.error("Background work (%s) failed and will be retried.", self._kind, exc_info=error)


class Background:
    """Runs one worker per kind of work on one database, between `start` and `stop`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._workers: list[Worker] = []

    def start(self) -> None:
        """Start the workers. Restart them if they are running."""
        self.stop()
        self._workers = [Worker(kind, self._database, work) for kind, work in WORK.items()]
        for worker in self._workers:
            worker.start()

    def wake(self) -> None:
        """Make the workers look for work now. If this process has none, another process will find it."""
        for worker in self._workers:
            worker.wake()

    def stop(self) -> None:
        """Request the workers to stop, without waiting for them, so that the server stops promptly."""
        for worker in self._workers:
            worker.stop()
        self._workers = []
