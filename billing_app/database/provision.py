"""Provides the database: the one in the settings, or else the embedded one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql

from billing_app.database import locks
from billing_app.database.embedded import cluster
from billing_app.database.urls import parse_database_url, plain_url
from billing_app.settings import Settings

DATABASE = "tallybook"
OWNER_ROLE = "tallybook_owner"
APPLICATION_ROLE = "tallybook_app"


@dataclass(frozen=True, slots=True)
class Urls:
    """One database, as the application's role and as the owner of its tables."""

    application: str
    owner: str


@contextmanager
def provide_database(settings: Settings) -> Iterator[Urls]:
    """Yield the URLs in the settings, or those of the embedded server, which runs until the block ends.

    Raises:
        DatabaseUnusable: A URL is unusable, or the embedded server can't run.
        DataDirUnusable: The embedded server has no directory.
    """
    if settings.database_url:
        application = parse_database_url(settings.database_url, "DATABASE_URL")
        owner = settings.database_owner_url
        yield Urls(application, parse_database_url(owner, "DATABASE_OWNER_URL") if owner else application)
        return
    with cluster.use_server(settings.create_data_dir() / "postgres") as server:
        create_database(server, DATABASE)
        yield urls_of(server, DATABASE)


def urls_of(server: cluster.Server, database: str) -> Urls:
    """Return the URLs of a database on an embedded server."""
    return Urls(server.url(database, APPLICATION_ROLE), server.url(database, OWNER_ROLE))


def create_database(server: cluster.Server, database: str) -> None:
    """Create the two roles, and the database with its owner, unless they exist."""
    superuser = plain_url(server.url("postgres", server.superuser))
    with psycopg.connect(superuser, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [locks.PROVISIONING])
        for role in (OWNER_ROLE, APPLICATION_ROLE):
            if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone():
                connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database])
        if not found.fetchone():
            create = sql.SQL("CREATE DATABASE {} OWNER {}")
            connection.execute(create.format(sql.Identifier(database), sql.Identifier(OWNER_ROLE)))
