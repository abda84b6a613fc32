"""Why the database can't be reached, and reporting it without flooding the log."""

from __future__ import annotations

import logging
import shutil
import time
from enum import StrEnum
from pathlib import Path
from threading import Lock

from psycopg.pq import PGconn, Ping
from sqlalchemy import make_url

from billing_app.database.urls import plain_url

logger = logging.getLogger(__name__)

REPORT_SECONDS = 30.0
_PING_SECONDS_MAX = 2
# To start, PostgreSQL needs space for one more WAL segment.
_DISK_BYTES_MIN = 16 << 20


class Outage(StrEnum):
    """Why the database can't be reached."""

    STARTING = "starting"
    DISK_FULL = "disk_full"
    NOT_RUNNING = "not_running"
    REFUSING = "refusing"
    NOT_ANSWERING = "not_answering"


def diagnose_outage(url: str, data_dir: Path) -> Outage:
    """Return why the database can't be reached, from the server's response and the free disk space."""
    server = make_url(url).update_query_dict({"connect_timeout": str(_PING_SECONDS_MAX)})
    state = PGconn.ping(plain_url(server).encode())
    if state == Ping.REJECT:
        return Outage.STARTING
    if state == Ping.OK:
        return Outage.REFUSING
    is_local = str(server.query.get("host", "")).startswith("/")
    return Outage.DISK_FULL if is_local and _is_disk_full(data_dir) else Outage.NOT_RUNNING


def _is_disk_full(data_dir: Path) -> bool:
    """Return whether the disk is too full for the embedded server to start."""
    home = data_dir / "postgres"
    places = (place for place in (home, home / "elsewhere") if place.is_dir())
    return any(shutil.disk_usage(place).free < _DISK_BYTES_MIN for place in places)


class OutageLog:
    """Logs that the database can't be reached: one line per kind of work every REPORT_SECONDS."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._reported_at: dict[str, float] = {}
        self._unreported: dict[str, int] = {}

    def report(self, work: str, error: Exception) -> None:
        """Log the error of this kind of work, unless one was logged in the last REPORT_SECONDS."""
        now = time.monotonic()
        with self._lock:
            if now - self._reported_at.get(work, -REPORT_SECONDS) < REPORT_SECONDS:
                self._unreported[work] = self._unreported.get(work, 0) + 1
                return
            self._reported_at[work] = now
            count = self._unreported.pop(work, 0)
        reason = str(getattr(error, "orig", error)).strip().partition("\n")[0]
        more = f" ({count:,} more since the last report)" if count else ""
        logger.warning("The database can't be reached, so %s failed%s: %s", work, more, reason)
