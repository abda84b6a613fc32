"""Whether the database answers and has the right schema, for health checks that anyone may send at any rate."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Future
from pathlib import Path
from threading import Thread

from sqlalchemy import create_engine
from sqlalchemy.exc import SQLAlchemyError

from billing_app.database.migrations import SchemaState, schema_state
from billing_app.database.outages import Outage, diagnose_outage
from billing_app.database.session import KEEPALIVES

# A result is given to every request for this long.
FRESH_SECONDS = 1.0
ANSWER_SECONDS_MAX = 3.0
_CONNECT_SECONDS_MAX = 2

State = Outage | SchemaState


class DatabaseProbe:
    """Asks the database once a second at most, in a thread, with a connection of its own.

    So requests can't wait for a connection of the pool, and the database is not asked more often the
    more requests come. All methods are called on the event loop.
    """

    def __init__(self, url: str, data_dir: Path) -> None:
        self._url, self._data_dir = url, data_dir
        self._engine = create_engine(
            url,
            pool_size=1,
            max_overflow=0,
            pool_pre_ping=True,
            isolation_level="AUTOCOMMIT",
            connect_args={
                "options": "-c statement_timeout=2s -c lock_timeout=1s -c application_name=tallybook-health",
                "connect_timeout": _CONNECT_SECONDS_MAX,
                **KEEPALIVES,
            },
        )
        self._check: Future[State] | None = None
        self._checked_at = 0.0

    async def state(self) -> State:
        """Return the state of the schema, or why the database can't be reached."""
        if self._check is None or (
            self._check.done() and time.monotonic() - self._checked_at >= FRESH_SECONDS
        ):
            self._check, self._checked_at = Future(), time.monotonic()
            Thread(target=self._run, args=(self._check,), name="health", daemon=True).start()
        # A check that hangs is left alone, and no other one is started next to it.
        done, _ = await asyncio.wait([asyncio.wrap_future(self._check)], timeout=ANSWER_SECONDS_MAX)
        return self._check.result() if done else Outage.NOT_ANSWERING

    def _run(self, check: Future[State]) -> None:
        try:
            check.set_result(self._ask())
        except BaseException as error:  # noqa: BLE001 - it belongs to the requests that wait
            check.set_exception(error)

    def _ask(self) -> State:
        try:
            with self._engine.connect() as connection:
                return schema_state(connection)
        except (SQLAlchemyError, OSError):
            return diagnose_outage(self._url, self._data_dir)
