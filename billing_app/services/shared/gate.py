"""The gate between recording and closing.

Recording reads a customer's closing mark and then inserts events. Closing advances the mark and later sums
the events. If the mark could advance between the two steps of recording, an event would be added to a closed
period. So recording holds this gate shared and closing holds it exclusively, each until its transaction ends.
Each takes it in a separate statement before it reads the mark. At READ COMMITTED, the next statement then
sees everything that was committed while it waited.
"""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlmodel import Session

from billing_app.database import locks
from billing_app.database.session import sqlstate_of
from billing_app.errors import GaveWay

# Recordings queue behind whoever waits for the gate exclusively.
WAIT_SECONDS_MAX = 2.0
# Between two statements of a transaction that holds the gate exclusively.
IDLE_SECONDS_MAX = 10
# A recording takes a fraction of a second. One that waits for its client after this long has lost it.
FROZEN_SECONDS = 30.0

_LOCK_NOT_AVAILABLE = "55P03"
_TRY = text("""
    SELECT pg_try_advisory_xact_lock(:gate),
           set_config('idle_in_transaction_session_timeout', :idle, true)
""")
# PostgreSQL's own time limit does not apply to a client that stops in the middle of a COPY.
_END_FROZEN_AND_LIMIT_WAIT = text("""
    SELECT set_config('lock_timeout', :wait, true), (
        SELECT count(pg_terminate_backend(a.pid))
        FROM pg_locks l JOIN pg_stat_activity a USING (pid)
        WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
          AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND (l.classid::bigint << 32) + l.objid::bigint = :gate
          AND a.usename = current_user AND a.wait_event_type = 'Client'
          AND a.xact_start < clock_timestamp() - make_interval(secs => :frozen)
    )
""")


def hold_shared(session: Session) -> None:
    """Hold the gate shared, to record usage. Waits while a mark, a plan or a suspension changes."""
    session.execute(text("SELECT pg_advisory_xact_lock_shared(:gate)"), {"gate": locks.GATE})


def hold_exclusively(session: Session) -> None:
    """Hold the gate exclusively, to change a mark, a plan or a suspension. Waits for recordings.

    A recording whose client has been frozen for long is ended. If the gate is still not free after
    WAIT_SECONDS_MAX, this gives way, so that the recordings queueing behind it can proceed.

    Raises:
        GaveWay: The transaction must be rolled back, and can be retried after a pause (`Database.retry`).
    """
    if session.scalar(_TRY, {"gate": locks.GATE, "idle": f"{IDLE_SECONDS_MAX}s"}):
        return
    limits = {"wait": f"{WAIT_SECONDS_MAX * 1000:.0f}ms", "frozen": FROZEN_SECONDS}
    session.execute(_END_FROZEN_AND_LIMIT_WAIT, {"gate": locks.GATE, **limits})
    try:
        session.execute(text("SELECT pg_advisory_xact_lock(:gate)"), {"gate": locks.GATE})
    except OperationalError as error:
        if sqlstate_of(error) == _LOCK_NOT_AVAILABLE:
            raise GaveWay from error
        raise
    session.execute(text("SET LOCAL lock_timeout TO DEFAULT"))
