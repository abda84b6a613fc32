"""Restarts the embedded server after a crash, while a process uses it."""

from __future__ import annotations

import logging
import os
import time
from threading import Event, Thread
from typing import Self

from billing_app.database.embedded.accounts import EmbeddedPostgresError
from billing_app.database.embedded.postgres import Postgres
from billing_app.database.embedded.programs import Cancelled

logger = logging.getLogger(__name__)

CHECK_SECONDS = 0.25
RETRY_SECONDS_MAX = 2.0
REPORT_SECONDS = 60.0


class Watcher(Thread):
    """Checks whether any process of the server is alive, and starts the server when none is.

    Every process that uses the server has a watcher, and a lock ensures that only one of them starts it. If
    the server can't start, for example because the disk is full, the watcher keeps trying.
    """

    def __init__(self, postgres: Postgres) -> None:
        super().__init__(name="postgres-watcher", daemon=True)
        self._postgres = postgres
        self._cancelled = Event()
        self._process_id = os.getpid()

    def __enter__(self) -> Self:
        """Start watching."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop watching, and interrupt a start in progress."""
        self._cancelled.set()
        if os.getpid() == self._process_id:  # The thread doesn't exist in a forked child.
            self.join()

    def run(self) -> None:
        """Watch until cancelled."""
        reported_at: float | None = None
        pause = CHECK_SECONDS
        while not self._cancelled.wait(pause):
            try:
                is_restarted = self._restart_if_stopped(is_retry=reported_at is not None)
            except Cancelled:
                return
            except (EmbeddedPostgresError, OSError) as error:
                if reported_at is None or time.monotonic() - reported_at > REPORT_SECONDS:
                    reported_at = time.monotonic()
                    logger.error("PostgreSQL can't be started again yet: %s", error)
                pause = min(2 * pause, RETRY_SECONDS_MAX)
            else:
                if is_restarted:
                    logger.warning("PostgreSQL is running again")
                reported_at, pause = None, CHECK_SECONDS

    def _restart_if_stopped(self, *, is_retry: bool) -> bool:
        if self._postgres.has_process():
            return False
        if not is_retry:
            logger.warning("PostgreSQL has stopped unexpectedly and is being started again")
        self._postgres.ensure_running(self._cancelled)
        return True
