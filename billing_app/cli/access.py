"""How a command gets to the database, and the actor it works as."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager

from billing_app.database.migrations import is_current, migrate
from billing_app.database.privileges import refuse_unsafe_role
from billing_app.database.provision import Urls, provisioned
from billing_app.database.session import Database
from billing_app.domain.actor import Actor, system
from billing_app.settings import Settings


def operator() -> Actor:
    """Return the system as an actor that names the operating system's user."""
    return system(f"cli:{getpass.getuser()}")


@contextmanager
def open_database(settings: Settings | None = None) -> Iterator[Database]:
    """Open the database of the settings as the application's role, at the newest revision.

    Migrates it first when the owner's access is known: the database is embedded, or
    DATABASE_OWNER_URL is set.

    Raises:
        RuntimeError: The schema is behind and the owner's access is not known.
        PermissionError: The application's role could change append-only tables.
    """
    settings = settings or Settings()
    with provisioned(settings) as urls:
        database = Database(urls.application)
        try:
            _bring_up_to_date(settings, urls, database)
            with database.engine.connect() as connection:
                refuse_unsafe_role(connection)
            yield database
        finally:
            database.close()


def _bring_up_to_date(settings: Settings, urls: Urls, database: Database) -> None:
    with database.engine.connect() as connection:
        if is_current(connection):
            return
    if settings.database_url and not settings.database_owner_url:
        raise RuntimeError(
            "the database is not at this version's schema: run `billing migrate` with "
            "DATABASE_OWNER_URL set to the owner of its tables"
        )
    migrate(urls)
