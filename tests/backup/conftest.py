from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg import sql

from billing_app.database.embedded import cluster
from billing_app.database.provision import Urls, create_database, urls_of
from tests.billing.conftest import shop

__all__ = ["shop"]

_numbers = itertools.count(1)


@contextmanager
def empty_database(server: cluster.Server) -> Iterator[Urls]:
    """Create an empty database that belongs to the owner, and drop it afterwards."""
    name = f"restored_{next(_numbers)}"
    create_database(server, name)
    try:
        yield urls_of(server, name)
    finally:
        admin = f"host={server.socket_dir} port={server.port} user={server.superuser} dbname=postgres"
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )


@pytest.fixture
def empty(server: cluster.Server) -> Iterator[Urls]:
    with empty_database(server) as made:
        yield made
