"""A business with a customer, a user and an API token, for servers in processes of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
import pytest

from billing_app.database.embedded import cluster
from billing_app.database.provision import Urls
from billing_app.database.session import Database
from billing_app.domain.actor import Role
from billing_app.services.identity import api_tokens
from tests.conftest import new_database
from tests.factories import actor_of, make_customer, make_user


@dataclass(frozen=True)
class Business:
    """What the tests need of a database: a customer's key, an admin's email, and a token for usage."""

    urls: Urls
    database: Database
    owner: psycopg.Connection
    customer: str
    admin: str
    token: str

    def new_admin(self) -> str:
        """Add an admin, and return the email."""
        return make_user(self.database, Role.ADMIN).email

    def new_token(self) -> str:
        """Add an API token that may record usage."""
        return _create_token(self.database)

    def events(self, key: str) -> int:
        """Return how many events have a key that begins like this."""
        query = "SELECT count(*) FROM usage_event WHERE starts_with(idempotency_key, %s)"
        found = self.owner.execute(query, [key]).fetchone()
        assert found
        return int(found[0])

    def count(self, table: str) -> int:
        found = self.owner.execute(f"SELECT count(*) FROM {table}").fetchone()  # type: ignore[arg-type]
        assert found
        return int(found[0])


def _create_token(database: Database) -> str:
    actor = actor_of(make_user(database, Role.ADMIN))
    with database.transaction(actor) as session:
        return api_tokens.create_token(session, actor, name="meter", scopes=["usage:write"]).token


@pytest.fixture
def business(server: cluster.Server) -> Iterator[Business]:
    """Make the business in a database of its own."""
    with make_business(server) as made:
        yield made


@contextmanager
def make_business(server: cluster.Server) -> Iterator[Business]:
    """Make the business, and drop its database afterwards."""
    with new_database(server) as urls:
        database = Database(urls.application)
        customer = make_customer(database)
        admin, token = make_user(database, Role.ADMIN).email, _create_token(database)
        with psycopg.connect(urls.owner.replace("+psycopg", ""), autocommit=True) as owner:
            yield Business(urls, database, owner, customer.key, admin, token)
        database.close()
