"""The API in this process, over a real database: a client for each kind of caller."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from billing_app.database.session import Database
from billing_app.domain.actor import Role
from tests.factories import PASSWORD, make_user
from tests.runtimes import authenticator, installed, limited_api

ClientOf = Callable[[Role], TestClient]


@pytest.fixture(autouse=True)
def _use_fast_hashes(fast_hashes: None) -> None:
    """Nearly every test here creates users."""


@pytest.fixture
def api(database: Database) -> Iterator[FastAPI]:
    """The API over this test's database."""
    with installed(database):
        yield limited_api()


@pytest.fixture
def anonymous(api: FastAPI) -> TestClient:
    """A client that is not signed in. Unexpected errors become responses, as on a server."""
    return TestClient(api, base_url="http://testserver", raise_server_exceptions=False)


@pytest.fixture
def client_of(api: FastAPI, database: Database) -> ClientOf:
    """Returns a client of a new user with the role, signed in with a bearer token."""

    def sign_in(role: Role) -> TestClient:
        user = make_user(database, role)
        token = authenticator().sign_in(user.email, PASSWORD, user_agent="test", address="test").token
        client = TestClient(api, raise_server_exceptions=False)
        client.headers["Authorization"] = f"Bearer {token}"
        return client

    return sign_in


@pytest.fixture
def client(client_of: ClientOf) -> TestClient:
    """Signed in as an admin."""
    return client_of(Role.ADMIN)
