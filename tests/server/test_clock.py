"""A server whose clock is wrong for a while, and set right again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from fastapi.testclient import TestClient

from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM, Role
from billing_app.jobs.background import WORK
from billing_app.services.identity.api_tokens import create_token
from tests.conftest import Clock
from tests.factories import PASSWORD, make_customer, make_user
from tests.runtimes import installed, limited_api

BACK = timedelta(seconds=-90)
AHEAD = timedelta(minutes=10)
ZERO = timedelta()
PAST_THE_MONTHS_END = timedelta(days=20)


@pytest.fixture
def client(database: Database, fast_hashes: None) -> Iterator[TestClient]:
    """Return a client with an API token."""
    with installed(database):
        make_customer(database, key="acme")
        with database.transaction(SYSTEM) as session:
            token = create_token(session, SYSTEM, name="meter", scopes=["usage:write", "read"]).token
        client = TestClient(limited_api(), raise_server_exceptions=False)
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


def report(client: TestClient, key: str, occurred_at: datetime | None = None) -> int:
    body = {"customer": "acme", "idempotency_key": key, "quantity": "5"}
    if occurred_at:
        body["occurred_at"] = occurred_at.isoformat()
    return client.post("/api/v1/usage", json=body).status_code


@pytest.mark.parametrize("offset", [BACK, AHEAD, PAST_THE_MONTHS_END])
def test_usage_counts_once_however_the_clock_is_set(
    client: TestClient, clock: Clock, owner: psycopg.Connection, offset: timedelta
) -> None:
    right = clock.moment
    assert report(client, "before") == 201
    clock.moment = right + offset
    assert [report(client, key) for key in ("before", "while", "while")] == [200, 201, 200]
    clock.moment = right + timedelta(seconds=1)
    assert [report(client, key) for key in ("before", "while", "after")] == [200, 200, 201]
    assert owner.execute("SELECT count(*), sum(quantity) FROM usage_event").fetchone() == (3, 15)


def test_event_of_a_sender_with_the_right_time_is_recorded_by_a_server_that_is_90_seconds_behind(
    client: TestClient, clock: Clock
) -> None:
    right = clock.moment
    clock.moment = right + BACK
    assert report(client, "a", right) == 201


@pytest.mark.parametrize(
    ("at_start", "afterwards"), [(BACK, ZERO), (ZERO, BACK), (AHEAD, ZERO), (ZERO, AHEAD)]
)
def test_session_survives_a_change_of_the_clock(
    client: TestClient, clock: Clock, database: Database, at_start: timedelta, afterwards: timedelta
) -> None:
    right = clock.moment
    clock.moment = right + at_start
    body = {"email": make_user(database, Role.ADMIN).email, "password": PASSWORD}
    started = client.post("/api/v1/auth/token", json=body).json()["access_token"]
    client.headers["Authorization"] = f"Bearer {started}"
    clock.moment = right + afterwards
    assert client.get("/api/v1/plans").status_code == 200


def test_nothing_is_closed_because_the_clock_is_past_the_months_end(
    client: TestClient, clock: Clock, database: Database, owner: psycopg.Connection
) -> None:
    marks = "SELECT closed_through, settled_through FROM customer_billing"
    before = owner.execute(marks).fetchall()
    right = clock.moment
    clock.moment = right + PAST_THE_MONTHS_END
    assert report(client, "while") == 201
    for work in WORK.values():
        work(database, lambda _: None)
    assert owner.execute(marks).fetchall() == before
    assert owner.execute("SELECT count(*) FROM invoice").fetchone() == (0,)
    clock.moment = right
    assert report(client, "after", datetime(2026, 11, 10, tzinfo=UTC)) == 201
    periods = owner.execute("SELECT billing_period::text FROM usage_event ORDER BY 1").fetchall()
    assert periods == [("2026-11-01",), ("2026-12-01",)]
