"""Where the database is: the one that the settings name, else the embedded one, made ready."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql
from sqlalchemy import make_url

from billing_app.database import locks
from billing_app.database.embedded import cluster
from billing_app.settings import Settings

DATABASE = "tallybook"
OWNER_ROLE = "tallybook_owner"
APPLICATION_ROLE = "tallybook_app"


@dataclass(frozen=True, slots=True)
class Urls:
    """The same database as the application's role and as the owner of its tables."""

    application: str
    owner: str


@contextmanager
def provisioned(settings: Settings) -> Iterator[Urls]:
    """The URLs of the settings; without them the embedded server, running while the block lasts.

    Raises ValueError when only one of the two is set where both are needed.
    """
    if settings.database_url:
        owner = settings.database_owner_url or settings.database_url
        yield Urls(_with_driver(settings.database_url), _with_driver(owner))
        return
    with cluster.use_server(settings.data_dir / "postgres") as server:
        create_database(server, DATABASE)
        yield urls_of(server, DATABASE)


def urls_of(server: cluster.Server, database: str) -> Urls:
    """The URLs of one database of an embedded server."""
    return Urls(server.url(database, APPLICATION_ROLE), server.url(database, OWNER_ROLE))


def create_database(server: cluster.Server, database: str) -> None:
    """Makes the two roles and the database, owned by the owner, unless they are there."""
    with psycopg.connect(_plain(server.url("postgres", server.superuser)), autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [locks.PROVISIONING])
        for role in (OWNER_ROLE, APPLICATION_ROLE):
            if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone():
                connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database])
        if not found.fetchone():
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {}").format(
                    sql.Identifier(database), sql.Identifier(OWNER_ROLE)
                )
            )


def _with_driver(url: str) -> str:
    """`postgresql://` and `postgres://` mean the driver that is installed here."""
    parsed = make_url(url)
    if parsed.drivername in ("postgres", "postgresql"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    return parsed.render_as_string(hide_password=False)


def _plain(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
