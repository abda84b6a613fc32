"""A process that stops in the middle of something, started by tests: `frozen.py URL WHAT CUSTOMER`.

It prints `ready` when it is there, and then waits until it is killed.
"""

import sys
import time

from sqlalchemy import event

from billing_app.database import locks
from billing_app.database.session import Database, driver_cursor
from billing_app.domain.actor import SYSTEM
from billing_app.jobs import leadership
from billing_app.services.shared import gate
from billing_app.services.usage.recording import UsageReport, record_usage

# PostgreSQL's limit for the connections of a worker, shorter than that of a server.
WORKER_IDLE_SECONDS = 3
IDLE_SECONDS = {"record": 9, "copy": 60, "close": 60, "lead": WORKER_IDLE_SECONDS}


def ready() -> None:
    print("ready", flush=True)
    time.sleep(1_000)


def record(database: Database, customer: str) -> None:
    """Record an event, and stop before the commit."""
    with database.transaction(SYSTEM) as session:
        record_usage(session, SYSTEM, UsageReport(customer, "frozen", 1))
        ready()


def copy(database: Database, customer: str) -> None:
    """Stop while the database waits for more rows of a COPY, where its own limit does not apply."""
    with database.transaction(SYSTEM) as session:
        gate.hold_shared(session)
        cursor = driver_cursor(session)
        cursor.execute("CREATE TEMPORARY TABLE rows (value text)")
        with cursor.copy("COPY rows FROM STDIN") as rows:
            rows.write_row([customer])
            ready()


def close(database: Database, customer: str) -> None:
    """Stop while the gate is held exclusively."""
    with database.transaction(SYSTEM) as session:
        gate.hold_exclusively(session)
        ready()


def lead(database: Database, customer: str) -> None:
    """Stop while verifying."""
    leadership._HEARTBEAT_SECONDS = 0.5
    with leadership.lock(database, SYSTEM, locks.VERIFYING):
        ready()


def main() -> None:
    url, what, customer = sys.argv[1:]
    database = Database(url)

    @event.listens_for(database.engine, "connect")
    def shorten(connection, record):
        connection.autocommit = True
        connection.execute(f"SET idle_in_transaction_session_timeout = '{IDLE_SECONDS[what]}s'")
        connection.autocommit = False

    {"record": record, "copy": copy, "close": close, "lead": lead}[what](database, customer)


if __name__ == "__main__":
    main()
