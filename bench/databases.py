"""Databases for the benchmarks: an embedded server in a temporary directory."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from billing_app.database.embedded import cluster
from billing_app.database.migrations import migrate
from billing_app.database.provision import OWNER_ROLE, create_database, urls_of
from billing_app.database.session import Database

# The time of the measured transactions, at which the months with usage have ended.
NOW = datetime(2027, 1, 15, 12, tzinfo=UTC)


class TooLittleSpace(Exception):
    """The disk does not have enough free space."""


@dataclass(frozen=True, slots=True)
class Bench:
    """A migrated database on the benchmark server, and ways to connect to it."""

    server: cluster.Server
    name: str

    @property
    def application_url(self) -> str:
        """Return the URL for the product's role."""
        return urls_of(self.server, self.name).application

    def database(self, pool_size: int = 10) -> Database:
        """Return it as the product's `Database`."""
        return Database(self.application_url, clock=lambda: NOW, pool_size=pool_size)

    def connect(self, user: str = OWNER_ROLE, **options: Any) -> psycopg.Connection:
        """Return a plain connection with the product's settings."""
        url = self.server.url(self.name, user).replace("+psycopg", "")
        return psycopg.connect(url, options="-c synchronous_commit=on -c timezone=UTC", **options)

    def superuser(self) -> psycopg.Connection:
        """Return a connection without triggers and foreign keys, to fill and empty tables quickly."""
        connection = self.connect(self.server.superuser, autocommit=True)
        connection.execute("SET session_replication_role = replica")
        return connection


@contextmanager
def bench_server(gigabytes: float) -> Iterator[cluster.Server]:
    """Run an embedded server in a temporary directory, which is removed afterwards.

    Raises:
        TooLittleSpace: The temporary directory's disk has less than `gigabytes` free.
    """
    place = Path(tempfile.gettempdir())
    free = shutil.disk_usage(place).free / 1e9
    if free < gigabytes:
        raise TooLittleSpace(
            f"{place} has {free:.1f} GB free and the bench needs {gigabytes:g} GB."
            " Set TMPDIR to a larger disk, or use --quick."
        )
    with tempfile.TemporaryDirectory(prefix="tallybook-bench-") as directory:
        Path(directory).chmod(0o711)  # Under root the server runs as another user.
        with cluster.use_server(Path(directory) / "postgres") as server:
            yield server


def new_database(server: cluster.Server, name: str) -> Bench:
    """Create a migrated database."""
    create_database(server, name)
    migrate(urls_of(server, name))
    return Bench(server, name)


def drop_database(bench: Bench) -> None:
    """Drop a database that is no longer needed, which frees its space on the disk."""
    url = bench.server.url("postgres", bench.server.superuser).replace("+psycopg", "")
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(bench.name)))


def settle(bench: Bench) -> None:
    """Flush everything to disk, so that earlier work doesn't slow down the measurement."""
    with bench.superuser() as connection:
        connection.execute("CHECKPOINT")
