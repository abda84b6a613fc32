"""Migrations: upgrading an empty database, downgrading it, and the models matching the tables."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from alembic import command
from sqlalchemy import create_engine

from billing_app.database.embedded import cluster
from billing_app.database.errors import DatabaseUnusable
from billing_app.database.migrations import SchemaState, alembic_config, migrate, schema_state
from billing_app.database.provision import OWNER_ROLE, Urls, create_database, urls_of

PROJECT = Path(__file__).parent.parent.parent


@pytest.fixture
def empty(server: cluster.Server) -> Iterator[Urls]:
    """Return an empty database."""
    create_database(server, "empty")
    yield urls_of(server, "empty")
    admin = f"host={server.socket_dir} port={server.port} user={server.superuser} dbname=postgres"
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("DROP DATABASE empty WITH (FORCE)")


def is_current(urls: Urls) -> bool:
    engine = create_engine(urls.application)
    with engine.connect() as connection:
        found = schema_state(connection) is SchemaState.CURRENT
    engine.dispose()
    return found


def test_upgrade_of_an_empty_database_matches_the_models(empty: Urls) -> None:
    assert not is_current(empty)
    migrate(empty)
    assert is_current(empty)
    command.check(alembic_config(empty))


def test_owner_that_cannot_install_the_extension_is_told_how(empty: Urls, server: cluster.Server) -> None:
    admin = f"host={server.socket_dir} port={server.port} user={server.superuser} dbname=empty"
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("ALTER DATABASE empty OWNER TO CURRENT_USER")
        connection.execute(f"GRANT CREATE ON SCHEMA public TO {OWNER_ROLE}")  # type: ignore[arg-type]
        with pytest.raises(DatabaseUnusable, match="grant it CREATE on the database"):
            migrate(empty)
        connection.execute("CREATE EXTENSION pg_trgm")
    migrate(empty)
    assert is_current(empty)


def test_last_revision_can_be_downgraded_and_upgraded_again(empty: Urls) -> None:
    migrate(empty)
    command.downgrade(alembic_config(empty), "-1")
    assert not is_current(empty)
    migrate(empty)
    assert is_current(empty)


def test_downgrade_to_base_removes_every_table_and_function(empty: Urls) -> None:
    migrate(empty)
    command.downgrade(alembic_config(empty), "base")
    with psycopg.connect(empty.owner.replace("+psycopg", "")) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        # The functions of pg_trgm stay, because the extension does.
        functions = connection.execute(
            "SELECT proname FROM pg_proc p WHERE pronamespace = 'public'::regnamespace"
            " AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')"
        ).fetchall()
    assert tables == [("alembic_version",)]
    assert functions == []


def test_two_migrations_at_once_take_turns(empty: Urls) -> None:
    script = f"""
from billing_app.database.errors import DatabaseUnusable
from billing_app.database.migrations import migrate
from billing_app.database.provision import Urls
migrate(Urls({empty.application!r}, {empty.owner!r}))
"""

    def run(_: int) -> int:
        return subprocess.run([sys.executable, "-c", script], cwd=PROJECT, check=False).returncode

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(run, range(2))) == [0, 0]
    assert is_current(empty)
