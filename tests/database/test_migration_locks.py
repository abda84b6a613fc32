"""A migration that can't get a lock, and one that is killed halfway, leave the database as it was."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import psycopg
import pytest

from billing_app.cli.access import migrate_database
from billing_app.database import locks, migrations
from billing_app.database.embedded import cluster
from billing_app.database.errors import DatabaseUnusable
from billing_app.database.migrations import migrate
from billing_app.database.provision import OWNER_ROLE, Urls
from billing_app.settings import Settings
from tests.backup.conftest import empty_database
from tests.backup.restored import connect, rows_of
from tests.database.test_migrations import PROJECT, is_current

DEADLINE_SECONDS = 60


@pytest.fixture
def empty(server: cluster.Server) -> Iterator[Urls]:
    with empty_database(server) as made:
        yield made


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrations, "LOCK_SECONDS_MAX", 2)


def test_a_migration_waits_ten_seconds_for_a_lock() -> None:
    assert migrations.LOCK_SECONDS_MAX == 10


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("LOCK TABLE alembic_version", "the table alembic_version"),
        (f"SELECT pg_advisory_xact_lock({locks.MIGRATING})", "another migration or a restore"),
    ],
)
def test_lock_that_a_migration_waits_for_is_named_with_its_holder(
    urls: Urls, owner: psycopg.Connection, statement: str, what: str
) -> None:
    holder = (
        f"process {owner.info.backend_pid} of the database server, role {OWNER_ROLE}, application reports"
    )
    owner.execute("SET application_name = 'reports'")
    with owner.transaction():
        owner.execute(statement)
        with pytest.raises(DatabaseUnusable) as refused:
            migrate(urls)
    assert str(refused.value) == (
        f"The migration waited 2 seconds for {what} ({holder}). Nothing was changed. Run `billing migrate` again"
        " when that has ended."
    )
    migrate(urls)


@pytest.mark.usefixtures("impatient")
def test_command_does_not_wait_longer_to_read_the_revision(urls: Urls, owner: psycopg.Connection) -> None:
    settings = Settings(DATABASE_URL=urls.application, DATABASE_OWNER_URL=urls.owner)  # type: ignore[call-arg]
    with owner.transaction():
        owner.execute("LOCK TABLE alembic_version")
        with pytest.raises(DatabaseUnusable, match="Another session holds a lock that the migration needs"):
            migrate_database(settings)
    migrate_database(settings)


def test_migration_that_is_killed_halfway_leaves_nothing_and_can_be_repeated(empty: Urls) -> None:
    script = f"""
from billing_app.database.errors import DatabaseUnusable
from billing_app.database.migrations import migrate
from billing_app.database.provision import Urls
migrate(Urls({empty.application!r}, {empty.owner!r}))
"""
    with connect(empty.owner) as blocker, connect(empty.owner) as observer:
        with blocker.transaction(force_rollback=True):
            # The migration creates other tables before it waits for the end of this transaction.
            blocker.execute("CREATE TABLE verification ()")
            process = subprocess.Popen([sys.executable, "-c", script], cwd=PROJECT)
            wait_for_lock(observer, process)
            process.send_signal(signal.SIGKILL)
            process.wait()
        wait_until_alone(observer)
    assert rows_of(empty) == {}
    assert not is_current(empty)
    migrate(empty)
    assert is_current(empty)


def wait_for_lock(observer: psycopg.Connection, process: subprocess.Popen[bytes]) -> None:
    """Wait until another session of this database waits for a lock."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    waiting = (
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()"
        " AND wait_event_type = 'Lock')"
    )
    while observer.execute(waiting).fetchone() != (True,):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)


def wait_until_alone(observer: psycopg.Connection) -> None:
    """Wait until the server has noticed that the killed process is gone."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    others = (
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid() AND wait_event_type IS DISTINCT FROM 'Client')"
    )
    while observer.execute(others).fetchone() == (True,):
        assert time.monotonic() < deadline
        time.sleep(0.01)
