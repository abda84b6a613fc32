"""What the server does beside answering: the invoice runs, verifications and imports that are under
way, and the figures that can't be counted while somebody waits.

The database says what is to be done. A thread for each kind looks there: at once when somebody in
this process has started something, and every some seconds for what others started or left behind
when they were killed. Of several processes one executes, by its lock. What fails is tried again, and
given up after a few times (jobs/attempts.py). A thread may end at any
point together with its process: whatever it was doing goes on at the next start.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from threading import Event, Thread
from typing import Any

from billing_app.database.session import Database, is_unavailable
from billing_app.jobs.figures import keep_figures
from billing_app.jobs.invoice_runs import go_on_invoicing
from billing_app.jobs.retries import Stopped
from billing_app.jobs.usage_imports import check_files, import_files
from billing_app.jobs.verification import go_on_verifying

logger = logging.getLogger(__name__)

LOOK_EVERY_SECONDS = 5.0
PAUSE_SECONDS_MAX = 60.0

Work = Callable[[Database, Callable[[Any], None]], None]
"""Does what there is to do, calling the second argument from time to time on the way."""

# None waits for another: a long import holds up no invoice run, and no look at the next file.
KINDS: dict[str, Work] = {
    "invoicing": go_on_invoicing,
    "verifying": go_on_verifying,
    "checking small files": partial(check_files, lane="small"),
    "checking large files": partial(check_files, lane="large"),
    "importing small files": partial(import_files, lane="small"),
    "importing large files": partial(import_files, lane="large"),
    "counting figures": keep_figures,
}


class Worker(Thread):
    """Does one kind of work as long as the process lives, one piece after the other."""

    def __init__(self, kind: str, database: Database, work: Work) -> None:
        super().__init__(name=f"background {kind}", daemon=True)
        self._kind, self._database, self._work = kind, database, work
        self._woken, self._stopping = Event(), Event()

    def wake(self) -> None:
        """Have it look now, or once more when it is busy."""
        self._woken.set()

    def stop(self) -> None:
        """Have it do nothing more; it is not waited for."""
        self._stopping.set()
        self._woken.set()

    def run(self) -> None:
        """Look, work, pause; whatever fails is logged and tried again, less and less often."""
        pause = LOOK_EVERY_SECONDS
        while not self._stopping.is_set():
            self._woken.clear()
            try:
                self._work(self._database, self._heed_stop)
                pause = LOOK_EVERY_SECONDS
            except Stopped:
                return
            except Exception as error:  # noqa: BLE001 - whatever it was, the work is tried again
                if self._stopping.is_set():
                    return
                self._tell(error)
                pause = min(2 * pause, PAUSE_SECONDS_MAX)
            self._woken.wait(pause)

    def _heed_stop(self, _progress: object) -> None:
        if self._stopping.is_set():
            raise Stopped

    def _tell(self, error: Exception) -> None:
        if is_unavailable(error):
            logger.warning("%s in the background waits for the database", self._kind)
        else:
            logger.error("%s in the background failed and is tried again", self._kind, exc_info=error)


class Background:
    """Runs one worker per kind of work on one database, between `start` and `stop`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._workers: list[Worker] = []

    def start(self) -> None:
        """Start the workers. Restarts them when they are running."""
        self.stop()
        self._workers = [Worker(kind, self._database, work) for kind, work in KINDS.items()]
        for worker in self._workers:
            worker.start()

    def wake(self) -> None:
        """Have the workers look for work now. Without workers here, another process's find it."""
        for worker in self._workers:
            worker.wake()

    def stop(self) -> None:
        """Stop the workers at their next chunk, without waiting: a server's stop must not hang."""
        for worker in self._workers:
            worker.stop()
        self._workers = []
