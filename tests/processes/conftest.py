"""A business with a customer, a user and an API token, for servers in processes of their own."""

from __future__ import annotations

from collections.abc import Iterator
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

    def count(self, table: str) -> int:
        found = self.owner.execute(f"SELECT count(*) FROM {table}").fetchone()  # type: ignore[arg-type]
        assert found
        return int(found[0])


@pytest.fixture
def business(server: cluster.Server) -> Iterator[Business]:
    """Make the business in a database of its own."""
    with new_database(server) as urls:
        database = Database(urls.application)
        customer = make_customer(database)
        user = make_user(database, Role.ADMIN)
        with database.transaction(actor_of(user)) as session:
            created = api_tokens.create_token(session, actor_of(user), name="meter", scopes=["usage:write"])
        with psycopg.connect(urls.owner.replace("+psycopg", ""), autocommit=True) as owner:
            yield Business(urls, database, owner, customer.key, user.email, created.token)
        database.close()
