"""Metrics from the database, read when metrics are scraped, but not more often than READ_EVERY_SECONDS.

The reader has its own connection and short timeouts, so that scraping neither uses the pool nor waits for it,
and doesn't add load to a database in trouble.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Any

import psycopg

from billing_app.database.urls import plain_url

READ_EVERY_SECONDS = 15.0
_CONNECT_SECONDS_MAX = 2
# Of each statement.
_OPTIONS = "-c statement_timeout=2s -c lock_timeout=1s -c default_transaction_read_only=on"

_SIZE = "SELECT pg_database_size(current_database())"
_RUNS = """
    SELECT count(*), coalesce(sum(total), 0), coalesce(sum(created + existing + skipped + failed), 0)
    FROM invoice_run WHERE status = 'running'
"""
_IMPORTS = """
    SELECT status, count(*), sum(size_bytes), sum(bytes_read)
    FROM usage_import WHERE status IN ('checking', 'checked', 'importing') GROUP BY status
"""
_VERIFICATION = """
    SELECT ok, extract(epoch FROM finished_at)::float8
    FROM verification WHERE ok IS NOT NULL ORDER BY finished_at DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class ImportsInProgress:
    """The files of one status: how many, their bytes, and the bytes that were read."""

    status: str
    files: int
    bytes_total: int
    bytes_read: int


@dataclass(frozen=True, slots=True)
class DatabaseFigures:
    """One reading of the database."""

    size_bytes: int
    runs: int
    run_customers_total: int
    run_customers_processed: int
    imports: tuple[ImportsInProgress, ...]
    verification_ok: bool | None
    verification_finished_at: float | None
    """Seconds since the epoch."""


class DatabaseFiguresReader:
    """Reads the figures when they are older than READ_EVERY_SECONDS, one reader at a time."""

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._conninfo = plain_url(url)
        self._clock = clock
        self._lock = Lock()
        self._read_at: float | None = None
        self._figures: DatabaseFigures | None = None

    def figures(self) -> DatabaseFigures | None:
        """Return the newest figures, or None if the database did not answer.

        While another thread reads them, this returns the previous ones.
        """
        if self._is_due() and self._lock.acquire(blocking=False):
            try:
                if self._is_due():
                    self._figures = self._read()
                    self._read_at = self._clock()
            finally:
                self._lock.release()
        return self._figures

    def _is_due(self) -> bool:
        return self._read_at is None or self._clock() - self._read_at >= READ_EVERY_SECONDS

    def _read(self) -> DatabaseFigures | None:
        try:
            with psycopg.connect(
                self._conninfo,
                autocommit=True,
                connect_timeout=_CONNECT_SECONDS_MAX,
                options=_OPTIONS,
                application_name="tallybook metrics",
            ) as connection:
                return _read_figures(connection)
        except psycopg.Error:
            return None


def _read_figures(connection: psycopg.Connection[Any]) -> DatabaseFigures:
    def one(statement: Any) -> Any:
        return connection.execute(statement).fetchone()

    (size,) = one(_SIZE)
    runs, total, processed = one(_RUNS)
    ok, finished_at = one(_VERIFICATION) or (None, None)
    imports = tuple(
        ImportsInProgress(status, files, int(size_bytes), int(bytes_read))
        for status, files, size_bytes, bytes_read in connection.execute(_IMPORTS)
    )
    return DatabaseFigures(size, runs, total, processed, imports, ok, finished_at)
