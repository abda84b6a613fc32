"""Opening the database for a command, and the actor that it works as."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from billing_app.cli.failures import explain_failures
from billing_app.database import migrations
from billing_app.database.distribution import distribute
from billing_app.database.errors import DatabaseUnusable
from billing_app.database.migrations import SchemaState, migrate, refuse_unknown_revision, schema_state
from billing_app.database.pooling import refuse_shared_sessions
from billing_app.database.privileges import refuse_missing_privileges, refuse_unsafe_role
from billing_app.database.provision import Urls, provide_database
from billing_app.database.requirements import refuse_unsuitable_database
from billing_app.database.session import Database
from billing_app.domain.actor import Actor, system
from billing_app.settings import Settings


def operator() -> Actor:
    """Return the system as an actor that names the operating system's user."""
    user = os.getuid()
    try:
        name = pwd.getpwuid(user).pw_name
    except KeyError:  # A container may run as a user ID without a name.
        name = str(user)
    return system(f"cli:{name}")


@contextmanager
def open_database(settings: Settings | None = None) -> Iterator[Database]:
    """Open the database of the settings as the application's role, at the newest revision.

    Migrates it first if the owner's URL is known: the database is embedded, or DATABASE_OWNER_URL is set.

    Raises:
        DatabaseUnusable: It can't be reached, or must not be used as it is. The message says why.
    """
    settings = settings or Settings()
    with explain_failures(settings), provide_database(settings) as urls:
        database = Database(urls.application)
        try:
            _prepare(settings, urls, database)
            yield database
        finally:
            database.close()


def migrate_database(settings: Settings) -> None:
    """Bring the schema up to date as the owner.

    Raises:
        DatabaseUnusable: As `open_database` does.
    """
    with explain_failures(settings, as_owner=True), provide_database(settings) as urls:
        _migrate(urls)


def distribute_database(settings: Settings) -> bool:
    """Distribute usage over the servers of a Citus cluster as the owner. Return False if it is already.

    Raises:
        DatabaseUnusable: As `open_database` does, and if the database has no Citus or an older schema.
    """
    with explain_failures(settings, as_owner=True), provide_database(settings) as urls:
        return distribute(urls.owner)


def _prepare(settings: Settings, urls: Urls, database: Database) -> None:
    """Check that the database can be used safely, and migrate it if its schema is behind."""
    if settings.database_url:
        refuse_shared_sessions(database.engine)
    with database.engine.connect() as connection:
        refuse_unsuitable_database(connection)
        refuse_unknown_revision(connection)
        is_behind = schema_state(connection) is SchemaState.BEHIND
    if is_behind:
        if settings.database_url and not settings.database_owner_url:
            raise DatabaseUnusable(
                "The database's schema is older than this version of Tallybook. Run `billing migrate` with "
                "DATABASE_OWNER_URL set to the owner of its tables."
            )
        with explain_failures(settings, as_owner=True):
            _migrate(urls)
    with database.engine.connect() as connection:
        refuse_unsafe_role(connection)
        refuse_missing_privileges(connection)


def _migrate(urls: Urls) -> None:
    timeout = {"options": f"-c lock_timeout={migrations.LOCK_SECONDS_MAX}s"}
    engine = create_engine(urls.owner, poolclass=NullPool, connect_args=timeout)
    with engine.connect() as connection:
        refuse_unsuitable_database(connection)
        refuse_unknown_revision(connection)
    migrate(urls)
