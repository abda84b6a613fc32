"""Databases for tests on the servers of a Citus cluster, which `TALLYBOOK_TEST_URL` names.

A distributed database consists of databases with the same name on all servers, so each of them is copied from
a template of its own. The servers must accept the user of the URL and the roles of Tallybook without a
password, or the passwords must be in `PGPASSFILE`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from billing_app.database.distribution import distribute
from billing_app.database.embedded.cluster import Server
from billing_app.database.migrations import migrate
from billing_app.database.provision import OWNER_ROLE, Urls, create_database, urls_of

_SECONDS_MAX = 30.0
# Each part of a table is a table with indexes of its own, in every test's database.
_PARTS = 2


class Cluster:
    """The servers of a cluster. The first is the coordinator, which the application connects to."""

    def __init__(self, url: str) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            info = connection.info
            workers = connection.execute(
                "SELECT nodename, nodeport FROM pg_dist_node WHERE groupid <> 0 ORDER BY nodeid"
            ).fetchall()
            self.coordinator = Server(Path(info.host), info.port, info.user)
            self._database = info.dbname
        self.workers = [Server(Path(host), port, self.coordinator.superuser) for host, port in workers]
        self.servers = [self.coordinator, *self.workers]

    def create_migrated(self, name: str) -> Urls:
        """Create a migrated database that can be distributed."""
        for server in self.servers:
            self._drop(server, name)
            create_database(server, name)
            with _connect(server, name) as connection:
                connection.execute("CREATE EXTENSION citus")
        with _connect(self.coordinator, name) as connection:
            add = "SELECT citus_set_coordinator_host(%s, %s)"
            for server in self.servers:
                connection.execute(add, [str(server.socket_dir), server.port])
                add = "SELECT citus_add_node(%s, %s)"
            connection.execute("CREATE EXTENSION pg_trgm")
            connection.execute(f"ALTER DATABASE {name} SET citus.shard_count = {_PARTS}")  # type: ignore[arg-type]
        urls = urls_of(self.coordinator, name)
        migrate(urls)
        return urls

    def drop(self, name: str) -> None:
        """Drop the database on all servers."""
        for server in self.servers:
            self._drop(server, name)

    def _drop(self, server: Server, name: str) -> None:
        # Only in a database with Citus does this end Citus' own process for the dropped one.
        with _connect(server, self._database) as connection:
            _persist(connection, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)", name)

    @contextmanager
    def template(self, name: str, fill: Callable[[Server, str], None]) -> Iterator[Server]:
        """Create a distributed template that refuses connections, and drop it afterwards."""
        try:
            distribute(self.create_migrated(name).owner)
            fill(self.coordinator, name)
            for server in self.servers:
                with _connect(server, "postgres") as connection:
                    connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")  # type: ignore[arg-type]
                    _end_sessions(connection, name)
            yield self.coordinator
        finally:
            self.drop(name)

    @contextmanager
    def copy(self, template: str, name: str) -> Iterator[Urls]:
        """Copy the template, and drop the copy afterwards."""
        create = f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY OWNER {OWNER_ROLE}"
        try:
            for server in self.servers:
                with _connect(server, "postgres") as connection:
                    _persist(connection, create, template)
            yield urls_of(self.coordinator, name)
        finally:
            self.drop(name)


def _connect(server: Server, database: str) -> psycopg.Connection:
    url = server.url(database, server.superuser).replace("+psycopg", "")
    return psycopg.connect(url, autocommit=True)


def _persist(connection: psycopg.Connection, statement: str, database: str) -> None:
    """Execute the statement although a process of Citus may be using the database."""
    deadline = time.monotonic() + _SECONDS_MAX
    while True:
        try:
            connection.execute(statement)  # type: ignore[arg-type]
            return
        except psycopg.errors.ObjectInUse:
            if time.monotonic() > deadline:
                raise
            _end_sessions(connection, database)


def _end_sessions(connection: psycopg.Connection, database: str) -> None:
    connection.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", [database]
    )
