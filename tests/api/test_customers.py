from __future__ import annotations

from fastapi.testclient import TestClient

from billing_app.database.session import Database
from tests.factories import make_customer, make_plan


def test_customer_is_created_read_and_changed(client: TestClient, database: Database) -> None:
    plan = make_plan(database, name="Team")
    body = {"name": "Acme Supply", "email": "ap@acme.example", "plan_id": plan.public_id, "key": "acme"}
    made = client.post("/api/v1/customers", json=body)
    assert made.status_code == 201, made.text
    assert made.headers["location"] == f"/api/v1/customers/{made.json()['id']}"
    assert made.json() == {
        "id": made.json()["id"],
        "key": "acme",
        "name": "Acme Supply",
        "email": "ap@acme.example",
        "billing_address": "",
        "status": "active",
        "currency": "USD",
        "plan": {"id": plan.public_id, "name": "Team", "version": 1},
        "created_at": "2026-11-15T12:00:00Z",
        "version": 1,
    }
    assert client.get("/api/v1/customers/ACME").json() == made.json()
    assert client.get(f"/api/v1/customers/{made.json()['id']}").json() == made.json()
    changed = client.patch("/api/v1/customers/acme", json={"status": "suspended", "version": 1})
    assert (changed.status_code, changed.json()["status"], changed.json()["version"]) == (200, "suspended", 2)
    stale = client.patch("/api/v1/customers/acme", json={"name": "Acme", "version": 1})
    assert (stale.status_code, stale.json()["code"], stale.json()["version"]) == (409, "stale", 2)


def test_plan_is_changed_and_subscription_cancelled(client: TestClient, database: Database) -> None:
    customer = make_customer(database, key="acme")
    plan = make_plan(database, name="Team")
    path = "/api/v1/customers/acme/subscription"
    answer = client.put(path, json={"plan_id": plan.public_id, "effective_from": "2026-12"})
    assert answer.json()["items"][1] == {
        "effective_from": "2026-12-01",
        "plan": {"id": plan.public_id, "name": "Team", "version": 1},
    }
    answer = client.put(path, json={"plan_id": None, "effective_from": "2027-01"})
    assert answer.json()["items"][2] == {"effective_from": "2027-01-01", "plan": None}
    assert client.get(path).json() == answer.json()
    refused = client.put(path, json={"plan_id": plan.public_id, "effective_from": "2026-13"})
    assert refused.json()["errors"] == [
        {
            "field": "effective_from",
            "message": "must be a date, such as 2026-10-31, or a month, such as 2026-10",
        }
    ]
    assert customer.key == "acme"


def test_list_is_searched_and_paged(client: TestClient, database: Database) -> None:
    for name in ("Alpha", "Beta", "Gamma"):
        make_customer(database, name=name)
    first = client.get("/api/v1/customers", params={"limit": 2}).json()
    assert [each["name"] for each in first["items"]] == ["Alpha", "Beta"]
    rest = client.get("/api/v1/customers", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert ([each["name"] for each in rest["items"]], rest["next_cursor"]) == (["Gamma"], None)
    found = client.get("/api/v1/customers", params={"search": "eta"}).json()
    assert [each["name"] for each in found["items"]] == ["Beta"]
    for limit in ("0", "201", "x"):
        assert client.get("/api/v1/customers", params={"limit": limit}).status_code == 422


def test_invalid_body_names_the_field_and_the_rule(client: TestClient) -> None:
    answer = client.post("/api/v1/customers", json={"name": "A", "email": "no", "plan_id": "plan_1", "x": 1})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"] == [{"field": "x", "message": "is not a field of this request"}]
    answer = client.post("/api/v1/customers", json={"name": "A", "email": "no", "plan_id": "plan_1"})
    assert answer.json()["errors"][0]["field"] == "email"
    answer = client.post(
        "/api/v1/customers", content=b'{"name": NaN}', headers={"content-type": "application/json"}
    )
    assert answer.json()["errors"] == [{"field": "body", "message": "must be JSON: NaN is not a number"}]
