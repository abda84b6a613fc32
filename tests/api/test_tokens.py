"""API tokens over HTTP: they are shown once, limited to their scopes, and invalid when revoked."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from billing_app.database.session import Database
from billing_app.domain.actor import Actor, Role
from billing_app.services.customers import customers
from tests.api.conftest import ClientOf
from tests.conftest import Clock
from tests.factories import make_customer

TOKENS = "/api/v1/tokens"
Machine = Callable[..., TestClient]


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def create(client: TestClient, *scopes: str, name: str = "Meter 7") -> Any:
    answer = client.post(TOKENS, json={"name": name, "scopes": list(scopes)})
    assert answer.status_code == 201, answer.text
    return answer.json()


@pytest.fixture
def machine(api: FastAPI, client: TestClient) -> Machine:
    """A client with a new token of these scopes."""

    def made(*scopes: str) -> TestClient:
        found = TestClient(api, raise_server_exceptions=False)
        found.headers["Authorization"] = f"Bearer {create(client, *scopes)['token']}"
        return found

    return made


def test_token_is_shown_once(client: TestClient, owner: psycopg.Connection, anonymous: TestClient) -> None:
    made = create(client, "usage:write", "read")
    assert made == {
        "id": made["id"],
        "name": "Meter 7",
        "scopes": ["usage:write", "read"],
        "created_by": client.get("/api/v1/auth/me").json()["id"],
        "created_at": "2026-11-15T12:00:00Z",
        "last_used_at": None,
        "revoked_at": None,
        "token": made["token"],
    }
    anonymous.get("/api/v1/plans", headers={"Authorization": f"Bearer {made['token']}"})
    client.delete(f"{TOKENS}/{made['id']}")
    secret = made["token"].removeprefix("tbk_")
    for path in ("tokens", "audit", "users"):
        assert secret not in client.get(f"/api/v1/{path}").text
    tables = owner.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    for (table,) in tables:
        rows = owner.execute(f"SELECT t::text FROM {table} t").fetchall()  # type: ignore[arg-type]
        assert secret not in str(rows), table


def test_revoked_token_is_rejected_at_once(client: TestClient, machine: Machine, clock: Clock) -> None:
    reader = machine("read")
    assert reader.get("/api/v1/plans").status_code == 200
    place = f"{TOKENS}/{client.get(TOKENS).json()['items'][0]['id']}"
    for _ in range(2):
        assert client.delete(place).status_code == 204
        clock.moment += timedelta(minutes=1)
        answer = reader.get("/api/v1/plans")
        assert code(answer) == (401, "invalid_token")
        assert answer.headers["www-authenticate"] == "Bearer"
    assert client.get(TOKENS).json()["items"][0]["revoked_at"] == "2026-11-15T12:00:00Z"


def test_last_use_is_shown(client: TestClient, machine: Machine, clock: Clock) -> None:
    reader = machine("read")
    clock.moment += timedelta(minutes=90)
    # A rejected request counts as a use too.
    assert reader.post("/api/v1/plans", json={}).status_code in (403, 422)
    assert client.get(TOKENS).json()["items"][0]["last_used_at"] == "2026-11-15T13:30:00Z"


def test_usage_token_cannot_read_anything(machine: Machine, database: Database) -> None:
    make_customer(database, key="acme")
    reporter = machine("usage:write")
    for path in ("customers", "customers/acme", "plans", "issuer", "audit", "users", "tokens"):
        assert code(reporter.get(f"/api/v1/{path}")) == (403, "forbidden"), path
    assert code(reporter.post(TOKENS, json={"name": "x", "scopes": ["read"]})) == (403, "forbidden")
    assert code(reporter.delete(f"{TOKENS}/tok_1")) == (403, "forbidden")


def test_token_that_records_usage_does_not_learn_the_customers_name(
    machine: Machine, database: Database
) -> None:
    make_customer(database, key="acme", name="Acme")
    event = {"customer": "cus_1", "quantity": 0, "idempotency_key": "k1"}
    for scopes, name in ((["usage:write"], ""), (["usage:write", "read"], "Acme")):
        answer = machine(*scopes).post("/api/v1/usage", json=event)
        assert answer.json()["event"]["customer"] == {"id": "cus_1", "key": "acme", "name": name}


def test_reading_token_can_read_in_a_read_only_transaction(
    machine: Machine, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme = make_customer(database, key="acme")
    reader = machine("read")
    assert reader.get("/api/v1/customers/acme").json()["name"] == acme.name
    for path in ("users", "tokens"):
        assert code(reader.get(f"/api/v1/{path}")) == (403, "forbidden")
    assert code(reader.patch("/api/v1/customers/acme", json={"name": "Other"})) == (403, "forbidden")
    # Even if a service forgets its check, the database rejects the write.
    monkeypatch.setattr(Actor, "may", lambda self, permission: True)
    assert reader.patch("/api/v1/customers/acme", json={"name": "Other"}).status_code >= 400
    assert reader.post(TOKENS, json={"name": "x", "scopes": ["usage:write"]}).status_code >= 400
    monkeypatch.undo()
    reading = Actor("user", "usr_1", "x", Role.FINANCE)
    with database.transaction(reading) as session:
        assert customers.get_customer(session, reading, "acme").name == acme.name


def test_invalid_token_names_the_field(client: TestClient, subtests: pytest.Subtests) -> None:
    bodies: list[dict[str, Any]] = [
        {"name": "Meter"},
        {"name": "Meter", "scopes": []},
        {"name": "Meter", "scopes": ["admin"]},
        {"name": "Meter", "scopes": ["read", "read"]},
        {"name": "Meter", "scopes": "read"},
        {"name": "Meter", "scopes": None},
        {"name": "", "scopes": ["read"]},
        {"name": "a\0b", "scopes": ["read"]},
        {"scopes": ["read"]},
        {"name": "Meter", "scopes": ["read"], "token": "tbk_mine"},
        {"name": "Meter", "scopes": ["read"], "created_by": "usr_2"},
    ]
    for body in bodies:
        with subtests.test(body=body):
            assert code(client.post(TOKENS, json=body)) == (422, "invalid")
            assert client.get(TOKENS).json()["items"] == []


def test_unknown_token_is_not_found(client: TestClient) -> None:
    for token in ("tok_99", "usr_1", "1", "tok_1%00", "tok_" + "9" * 30):
        assert code(client.delete(f"{TOKENS}/{token}")) == (404, "token_not_found"), token


@pytest.mark.parametrize("role", [Role.BILLING, Role.FINANCE])
def test_only_admins_manage_tokens(client_of: ClientOf, role: Role) -> None:
    client = client_of(role)
    for answer in (
        client.get(TOKENS),
        client.post(TOKENS, json={"name": "Meter", "scopes": ["read"]}),
        client.delete(f"{TOKENS}/tok_1"),
    ):
        assert code(answer) == (403, "forbidden")


def test_token_outlives_the_permissions_of_its_creator(
    client_of: ClientOf, client: TestClient, machine: Machine
) -> None:
    # Tokens belong to the company: usage must still be recorded after the admin who created one leaves.
    reader = machine("read")
    other = client_of(Role.ADMIN)
    own = client.get("/api/v1/auth/me").json()["id"]
    assert other.patch(f"/api/v1/users/{own}", json={"status": "disabled"}).status_code == 200
    assert client.get(TOKENS).status_code == 401
    assert reader.get("/api/v1/plans").status_code == 200
