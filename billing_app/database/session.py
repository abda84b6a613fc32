"""Transactions on the database. `Database.transaction` is the only place in the product that commits."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Concatenate, ParamSpec, TypeVar

import psycopg
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError, DisconnectionError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry
from sqlmodel import Session

from billing_app.database.counts import Counts, counted_in
from billing_app.database.outages import OutageLog
from billing_app.database.urls import plain_url
from billing_app.domain.actor import Actor
from billing_app.errors import GaveWay

Clock = Callable[[], datetime]
P = ParamSpec("P")
Result = TypeVar("Result")

# The database rolled the transaction back, so it can be retried: serialization failures, deadlocks, and
# connections that the server itself ended. If a connection merely breaks, the transaction may have been
# committed.
_RETRYABLE = {"40001", "40P01", "57P01", "25P03"}
# Connection failures, a lack of disk, memory or connections, shutdown, crash, start, and I/O errors.
_UNAVAILABLE = ("08", "53", "57P01", "57P02", "57P03", "58030")
_TRIES_MAX = 8
# A connection that was used more recently than this is reused without a check.
_TRUSTED_SECONDS = 1.0
_CONNECT_SECONDS_MAX = 10
# Between two statements of a transaction.
IDLE_SECONDS_MAX = 30
# For how long a transaction that gives way to others is repeated. A frozen one has lost its locks by then.
_GIVE_WAY_SECONDS_MAX = 90.0
_PAUSE_SECONDS_MAX = 8.0
# These override the server's defaults: a commit waits for the disk, dates are in UTC and in the format that
# the driver reads, and temporary tables never hide ours.
_SESSION_OPTIONS = (
    "-c synchronous_commit=on -c timezone=UTC -c datestyle=ISO -c search_path=public,pg_temp"
    " -c application_name=tallybook"
    # A process that is stopped in the middle of a transaction loses it, and with it its locks. A server whose
    # client has vanished notices that even in the middle of a statement.
    f" -c idle_in_transaction_session_timeout={IDLE_SECONDS_MAX}s"
    " -c client_connection_check_interval=5s"
    " -c tcp_keepalives_idle=20 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3"
)
# A connection whose other end has vanished without a word ends within a minute, on both sides.
KEEPALIVES: dict[str, Any] = {
    "keepalives": 1,
    "keepalives_idle": 20,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 40_000,
}
# Query plans are made for each set of values, because a selective filter needs another plan than one that
# matches everything.
_CUSTOM_PLANS = "-c plan_cache_mode=force_custom_plan"
# The statements by which the database checks foreign keys, row by row, keep theirs.
_KEEP_PLANS = "SET LOCAL plan_cache_mode = auto"
_DONT_KEEP_PLANS = "SET LOCAL plan_cache_mode = force_custom_plan"
# For a few statements that find up to a thousand rows by an index. Their plans are kept, so they must not
# depend on how small the tables were when they were made.
_INDEXED_PLANS = (
    "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c enable_mergejoin=off -c jit=off"
)

# Citus finds the servers of the rows by the values of a statement.
_PLANS_BY_VALUES = (
    "SELECT set_config('plan_cache_mode', 'auto', false) FROM pg_extension WHERE extname = 'citus'"
)


def utc_now() -> datetime:
    """Return the current time, aware, in UTC."""
    return datetime.now(UTC)


class Database:
    """A pool of connections to one database, and the clock that sets the time of its transactions."""

    def __init__(self, url: str, *, clock: Clock = utc_now, pool_size: int = 10) -> None:
        self.url = url
        self.clock = clock
        self.outages = OutageLog()
        self.counts = Counts()
        self.connections_max = 2 * pool_size
        self.engine: Engine = create_engine(
            url,
            pool_size=pool_size,
            max_overflow=pool_size,
            connect_args={
                "options": f"{_SESSION_OPTIONS} {_CUSTOM_PLANS}",
                "prepare_threshold": 3,
                "connect_timeout": _CONNECT_SECONDS_MAX,
                **KEEPALIVES,
            },
        )
        event.listen(self.engine, "checkin", _note_use)
        event.listen(self.engine, "checkout", _check_idle_connection)

    @contextmanager
    def transaction(
        self, actor: Actor, *, isolation: str = "READ COMMITTED", read_only: bool = False
    ) -> Iterator[Session]:
        """Run a transaction of one actor. Commit it when the block ends; roll it back if it raises.

        The transaction is READ ONLY if `read_only` is set or the actor can only read, so that such an actor
        can't write even if a service forgets its check. `now(session)` is constant within it.
        """
        connection = self.engine.connect().execution_options(
            isolation_level=isolation, postgresql_readonly=read_only or actor.read_only
        )
        with connection, Session(connection, expire_on_commit=False) as session:
            session.info["now"] = self.clock()
            yield session
            session.commit()
            self.counts.add(counted_in(session))

    def run(self, actor: Actor, work: Callable[[Session], Result]) -> Result:
        """Call `work` in its own transaction. Retry if the database rolled it back."""

        def in_transaction() -> Result:
            with self.transaction(actor) as session:
                return work(session)

        return self.retry(in_transaction)

    def retry(self, work: Callable[[], Result]) -> Result:
        """Call `work`, which opens its own transactions. Retry if the database rolled one back."""
        gives_up_at = time.monotonic() + _GIVE_WAY_SECONDS_MAX
        for attempt in itertools.count(1):
            try:
                return work()
            except GaveWay:
                if time.monotonic() >= gives_up_at:
                    raise
                time.sleep(random.uniform(0.5, 1.0) * min(2.0**attempt, _PAUSE_SECONDS_MAX))
            except (DBAPIError, psycopg.Error) as error:
                if not is_retryable(error) or attempt >= _TRIES_MAX:
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
        """Call a service as the actor, by `run`."""
        return self.run(actor, lambda session: service(session, actor, *args, **kwargs))

    async def connect_async(self) -> psycopg.AsyncConnection[tuple[Any, ...]]:
        """Open a connection of the event loop, in autocommit mode, for statements that are prepared once.

        They must find every row by an index, because plans are kept and read no table from end to end.
        """
        connection = await psycopg.AsyncConnection.connect(
            plain_url(self.url),
            autocommit=True,
            options=f"{_SESSION_OPTIONS} {_INDEXED_PLANS}",
            connect_timeout=_CONNECT_SECONDS_MAX,
            **KEEPALIVES,
        )
        await connection.execute(_PLANS_BY_VALUES)
        return connection

    def close(self) -> None:
        """Close the pooled connections."""
        self.engine.dispose()


def _note_use(_connection: object, record: ConnectionPoolEntry) -> None:
    record.info["used"] = time.monotonic()


def _check_idle_connection(
    connection: psycopg.Connection[Any], record: ConnectionPoolEntry, _proxy: object
) -> None:
    """Make the pool replace a connection that the database has closed. Checked only after a pause.

    SQLAlchemy's own pool_pre_ping checks every time, at the cost of a round trip per request.
    """
    if time.monotonic() - record.info.get("used", 0.0) < _TRUSTED_SECONDS:
        return
    try:
        connection.execute("")
        connection.rollback()
    except psycopg.Error as error:
        raise DisconnectionError from error


def is_retryable(error: Exception) -> bool:
    """Return whether the database rolled the transaction back and it can be retried."""
    return isinstance(error, GaveWay) or sqlstate_of(error) in _RETRYABLE


def is_unavailable(error: Exception) -> bool:
    """Return whether the database is down or out of resources, rather than having rejected a statement."""
    if isinstance(error, PoolTimeout):
        return True
    sqlstate = sqlstate_of(error)
    return isinstance(error, (OperationalError, psycopg.OperationalError)) and (
        not sqlstate or sqlstate.startswith(_UNAVAILABLE)
    )


def is_read_only(error: Exception) -> bool:
    """Return whether the database refused to write in a READ ONLY transaction."""
    return sqlstate_of(error) == "25006"


def sqlstate_of(error: Exception) -> str | None:
    """Return the database's code of an error, from SQLAlchemy or from a driver's cursor."""
    return getattr(getattr(error, "orig", error), "sqlstate", None)


def now(session: Session) -> datetime:
    """Return the time of this transaction, the same throughout."""
    moment: datetime = session.info["now"]
    return moment


def allow_pauses(session: Session) -> None:
    """Let this transaction pause for longer than IDLE_SECONDS_MAX, for one that a slow client feeds or reads.

    Only for transactions that others never wait for.
    """
    session.execute(text("SET LOCAL idle_in_transaction_session_timeout = '1h'"))


@contextmanager
def planning_checks_once(session: Session) -> Iterator[None]:
    """Let the checks of foreign keys keep their plans within the block, for statements that write many rows.

    Otherwise the database makes a plan for each row, which takes several times as long as the check.
    """
    session.execute(text(_KEEP_PLANS))
    yield
    session.execute(text(_DONT_KEEP_PLANS))


def driver_cursor(session: Session) -> psycopg.Cursor[Any]:
    """Return a driver's cursor within the session's transaction, for COPY and streams."""
    session.flush()
    raw = session.connection().connection.driver_connection
    assert isinstance(raw, psycopg.Connection)
    return raw.cursor()
