"""The database: one engine, and `transaction`, the only place in the product that commits."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Concatenate, ParamSpec, TypeVar

import psycopg
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, DisconnectionError, OperationalError
from sqlmodel import Session

from billing_app.domain.actor import Actor

Clock = Callable[[], datetime]
P = ParamSpec("P")
Result = TypeVar("Result")

# Serialization failure and deadlock: the database undid the transaction and asks for another try.
# So it did when it says that it ended the connection, as at its restart: not so one that just broke.
_RETRYABLE = {"40001", "40P01", "57P01"}
_TRIES_MAX = 8
# How long after its last use a connection is taken for good without asking.
_TRUSTED_SECONDS = 1.0
# An acknowledged event is on disk whatever the server's default; dates are UTC whatever its zone,
# and written as the driver can read them; a temporary table never hides one of ours.
# A filter that fits everything wants another plan than a rare one: none is kept for all values.
_SESSION_OPTIONS = (
    "-c synchronous_commit=on -c timezone=UTC -c datestyle=ISO -c search_path=public,pg_temp"
    " -c plan_cache_mode=force_custom_plan"
    " -c application_name=tallybook"
)


def utc_now() -> datetime:
    """The present moment, aware, in UTC."""
    return datetime.now(UTC)


class Database:
    """A pool of connections to one database, with the clock that its transactions tell time by."""

    def __init__(self, url: str, *, clock: Clock = utc_now, pool_size: int = 10) -> None:
        self.url = url
        self.clock = clock
        self.engine: Engine = create_engine(
            url,
            pool_size=pool_size,
            max_overflow=pool_size,
            connect_args={"options": _SESSION_OPTIONS, "prepare_threshold": 3},
        )
        event.listen(self.engine, "checkin", _note_use)
        event.listen(self.engine, "checkout", _refuse_lost)

    @contextmanager
    def transaction(
        self, actor: Actor, *, isolation: str = "READ COMMITTED", read_only: bool = False
    ) -> Iterator[Session]:
        """One transaction of one actor: committed when the block ends, undone when it raises.

        READ ONLY for an actor that may only read, so that a forgotten check still can't write, and
        when asked for. `now(session)` is one moment for all of it.
        """
        connection = self.engine.connect().execution_options(
            isolation_level=isolation, postgresql_readonly=read_only or actor.read_only
        )
        with connection, Session(connection, expire_on_commit=False) as session:
            session.info["now"] = self.clock()
            yield session
            session.commit()

    def run(self, actor: Actor, work: Callable[[Session], Result]) -> Result:
        """Do the work in a transaction of its own, again from the start when the database asks for it."""

        def in_transaction() -> Result:
            with self.transaction(actor) as session:
                return work(session)

        return self.retry(in_transaction)

    def retry(self, work: Callable[[], Result]) -> Result:
        """Do work that opens its own transactions, again from the start when the database asks for it."""
        for attempt in range(1, _TRIES_MAX + 1):
            try:
                return work()
            except (DBAPIError, psycopg.Error) as error:
                if not is_retryable(error) or attempt == _TRIES_MAX:
                    raise
                time.sleep(random.uniform(0, 0.01 * 2**attempt))
        raise AssertionError("unreachable")

    def call(
        self,
        actor: Actor,
        service: Callable[Concatenate[Session, Actor, P], Result],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Result:
        """One service call as the actor, by `run`."""
        return self.run(actor, lambda session: service(session, actor, *args, **kwargs))

    def close(self) -> None:
        """Closes the pooled connections."""
        self.engine.dispose()


def _note_use(_connection: Any, record: Any) -> None:
    record.info["used"] = time.monotonic()


def _refuse_lost(connection: psycopg.Connection[Any], record: Any, _proxy: Any) -> None:
    """Has the pool replace a connection that the database has closed; asked only after a rest.

    SQLAlchemy's own pool_pre_ping asks each time: a round trip with every request.
    """
    if time.monotonic() - record.info.get("used", 0.0) < _TRUSTED_SECONDS:
        return
    try:
        connection.execute("")
        connection.rollback()
    except psycopg.Error as error:
        raise DisconnectionError from error


def is_retryable(error: Exception) -> bool:
    """Whether the database undid the transaction for no fault of its own, and it may be tried again."""
    return sqlstate_of(error) in _RETRYABLE


def is_unavailable(error: Exception) -> bool:
    """Whether the database could not be reached, as against having refused something."""
    return isinstance(error, (OperationalError, psycopg.OperationalError)) and not sqlstate_of(error)


def is_read_only(error: Exception) -> bool:
    """Whether the database refused to write in a READ ONLY transaction."""
    return sqlstate_of(error) == "25006"


def sqlstate_of(error: Exception) -> str | None:
    """The database's code of an error, whether it came through SQLAlchemy or a driver's cursor."""
    return getattr(getattr(error, "orig", error), "sqlstate", None)


def now(session: Session) -> datetime:
    """The moment of this transaction, the same for all that it does."""
    moment: datetime = session.info["now"]
    return moment


def driver_cursor(session: Session) -> psycopg.Cursor[Any]:
    """A driver cursor within the session's transaction, for COPY and streams."""
    session.flush()
    raw = session.connection().connection.driver_connection
    assert isinstance(raw, psycopg.Connection)
    return raw.cursor()
