"""Refusing a connection pooler that gives the same session to several clients."""

from __future__ import annotations

from typing import LiteralString

import psycopg
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError

from billing_app.database.errors import DatabaseUnusable
from billing_app.database.session import IDLE_SECONDS_MAX

_ROUNDS = 5
_SENTENCE = (
    "DATABASE_URL leads to a connection pooler that shares sessions between clients or drops their settings, "
    "such as PgBouncer in transaction mode. Tallybook's locks and settings need sessions of its own: set "
    "DATABASE_URL to PostgreSQL itself."
)


def refuse_shared_sessions(engine: Engine) -> None:
    """Refuse a pooler in transaction mode, and one that drops the settings of a connection.

    Two connections are used in turn. Each must stay with one process of the server, and not the same one.

    Raises:
        DatabaseUnusable: The connections are not sessions.
    """
    try:
        with engine.connect() as one, engine.connect() as other:
            pairs = {(_serving_process(one), _serving_process(other)) for _ in range(_ROUNDS)}
            limit = _ask(one, "SHOW idle_in_transaction_session_timeout")
    except OperationalError as error:
        # PgBouncer refuses the settings of a connection unless it is told to drop them.
        if "unsupported startup parameter" in str(error):
            raise DatabaseUnusable(_SENTENCE) from error
        raise
    is_shared = len(pairs) > 1 or any(first == second for first, second in pairs)
    if is_shared or limit != f"{IDLE_SECONDS_MAX}s":
        raise DatabaseUnusable(_SENTENCE)


def _serving_process(connection: Connection) -> str:
    return _ask(connection, "SELECT pg_backend_pid()")


def _ask(connection: Connection, statement: LiteralString) -> str:
    """Return one value, in a transaction of its own."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    # Prepared statements of two clients would get in each other's way.
    row = driver.execute(statement, prepare=False).fetchone()
    driver.rollback()
    assert row is not None
    return str(row[0])
