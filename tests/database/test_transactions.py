"""Transactions are retried if the database rolled them back, and don't depend on the server's defaults."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session

from billing_app.database import session as database_session
from billing_app.database.provision import Urls
from billing_app.database.session import Database, driver_cursor, is_unavailable
from billing_app.domain.actor import SYSTEM, Actor
from billing_app.jobs.verification import verify
from tests.billing.shop import Shop
from tests.conftest import Clock

Ask = Callable[[Session, str], object]


def through_the_session(session: Session, statement: str) -> object:
    return session.execute(text(statement))


def through_a_driver_cursor(session: Session, statement: str) -> object:
    with driver_cursor(session) as cursor:
        return cursor.execute(statement)


@pytest.mark.parametrize("ask", [through_the_session, through_a_driver_cursor])
@pytest.mark.parametrize("sqlstate", ["40001", "40P01"])
def test_serialization_failures_and_deadlocks_are_retried(
    database: Database, ask: Ask, sqlstate: str
) -> None:
    tries: list[int] = []

    def work(session: Session) -> int:
        tries.append(1)
        if len(tries) < 3:
            ask(session, f"DO $$ BEGIN RAISE SQLSTATE '{sqlstate}'; END $$")
        return len(tries)

    assert database.run(SYSTEM, work) == 3


def test_transaction_ended_by_a_restart_is_retried(database: Database) -> None:
    tries: list[int] = []

    def work(session: Session) -> int:
        tries.append(1)
        if len(tries) == 1:
            session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        return len(tries)

    assert database.run(SYSTEM, work) == 2


@pytest.mark.parametrize("ask", [through_the_session, through_a_driver_cursor])
def test_other_errors_are_not_retried(database: Database, ask: Ask) -> None:
    tries: list[int] = []

    def work(session: Session) -> None:
        tries.append(1)
        ask(session, "SELECT 1 / 0")

    with pytest.raises((DBAPIError, psycopg.Error)) as caught:
        database.run(SYSTEM, work)
    assert len(tries) == 1
    assert not is_unavailable(caught.value)


@pytest.mark.parametrize("ask", [through_the_session, through_a_driver_cursor])
def test_lost_connection_counts_as_unavailable(database: Database, ask: Ask) -> None:
    def lose(session: Session) -> None:
        with driver_cursor(session) as cursor:
            cursor.connection.close()
        ask(session, "SELECT 1")

    with pytest.raises((DBAPIError, psycopg.Error)) as caught:
        database.run(SYSTEM, lose)
    assert is_unavailable(caught.value)


def test_server_defaults_do_not_change_results(
    urls: Urls, owner: psycopg.Connection, clock: Clock, admin: Actor
) -> None:
    for default in (
        "timezone = 'Pacific/Kiritimati'",
        "datestyle = 'SQL, DMY'",
        "default_transaction_isolation = 'serializable'",
        "default_transaction_read_only = on",
        "synchronous_commit = off",
    ):
        database_name = sql.Identifier(owner.info.dbname)
        owner.execute(sql.SQL("ALTER DATABASE {} SET ").format(database_name) + sql.SQL(default))  # type: ignore[arg-type]
    database = Database(urls.application, clock=clock)
    shop = Shop(database, admin)
    shop.customer("acme", "2026-10")
    shop.use("acme", "last", 1100, "2026-10-31T23:59:59.999999Z")
    shop.use("acme", "first", 1, "2026-11-01T00:00:00Z")
    assert shop.invoice("acme", "2026-10").total_minor == 3025
    assert verify(database, admin).ok
    with database.transaction(SYSTEM) as session:
        assert session.scalar(text("SHOW synchronous_commit")) == "on"
    database.close()


def test_temporary_table_does_not_hide_a_table(database: Database) -> None:
    with database.transaction(SYSTEM) as session:
        session.execute(text("CREATE TEMPORARY TABLE plan (mine integer) ON COMMIT DROP"))
        session.execute(text("SELECT plan_id FROM plan"))


def test_closed_connection_is_replaced_before_it_is_used(
    urls: Urls, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_session, "_TRUSTED_SECONDS", 0.0)
    other = Database(urls.application)
    with other.transaction(SYSTEM) as session:
        lost = session.scalar(text("SELECT pg_backend_pid()"))
    with database.transaction(SYSTEM) as session:
        assert session.scalar(text("SELECT pg_terminate_backend(:lost, 5000)"), {"lost": lost})
    with other.transaction(SYSTEM) as session:
        assert session.scalar(text("SELECT pg_backend_pid()")) != lost
    other.close()
