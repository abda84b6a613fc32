from __future__ import annotations

from datetime import date

from fastapi.testclient import TestClient

from billing_app.database.session import Database
from tests.factories import make_customer

ISSUER = {
    "name": "Northwind Ltd",
    "address": "12 Harbour Road\nBristol",
    "email": "billing@northwind.example",
    "payment_instructions": "IBAN GB33",
}


def test_issuer_is_replaced_and_a_stale_write_gets_the_newer_values(
    client: TestClient, no_issuer: None
) -> None:
    assert client.get("/api/v1/issuer").json()["name"] == ""
    answer = client.put("/api/v1/issuer", json={**ISSUER, "version": 1})
    assert answer.json() == {**ISSUER, "version": 2}
    assert client.get("/api/v1/issuer").json() == answer.json()
    stale = client.put("/api/v1/issuer", json={**ISSUER, "name": "Southwind", "version": 1})
    assert (stale.status_code, stale.json()["code"]) == (409, "stale")
    assert (stale.json()["version"], stale.json()["newer"]["name"]) == (2, "Northwind Ltd")
    for version in ("2", 2.0, True, 0):
        assert client.put("/api/v1/issuer", json={**ISSUER, "version": version}).status_code == 422


def test_audit_log_says_who_did_what(client: TestClient) -> None:
    client.put("/api/v1/issuer", json=ISSUER)
    me = client.get("/api/v1/auth/me").json()
    newest = client.get("/api/v1/audit", params={"subject": "issuer"}).json()["items"][0]
    assert newest["actor"] == {"id": me["id"], "name": me["name"]}
    assert (newest["action"], newest["details"]["name"]) == ("issuer.changed", "Northwind Ltd")
    mine = client.get("/api/v1/audit", params={"actor": me["id"], "limit": 1}).json()
    assert mine["items"] == [newest]
    rest = client.get("/api/v1/audit", params={"actor": me["id"], "cursor": mine["next_cursor"]}).json()
    assert [each["action"] for each in rest["items"]] == ["user.signed_in"]


def test_refused_method_lists_the_allowed_ones(client: TestClient) -> None:
    refused = client.delete("/api/v1/issuer")
    assert (refused.status_code, refused.json()["code"]) == (405, "method_not_allowed")
    assert refused.headers["allow"] == "GET, PUT"
    assert client.put("/api/v1/customers/acme").headers["allow"] == "GET, PATCH"
    assert client.post("/api/openapi.json").status_code == 405


def test_invoices_and_runs_are_refused_while_the_issuer_is_incomplete(
    client: TestClient, database: Database, no_issuer: None
) -> None:
    make_customer(database, key="acme", start=date(2026, 10, 1))
    for path, body in (
        ("invoices", {"customer": "acme", "period": "2026-10"}),
        ("invoice-runs", {"period": "2026-10"}),
    ):
        refused = client.post(f"/api/v1/{path}", json=body)
        assert (refused.status_code, refused.json()["code"]) == (409, "issuer_incomplete")
        assert "Company details" in refused.json()["detail"]
    assert client.get("/api/v1/invoice-runs").json()["items"] == []
    client.put("/api/v1/issuer", json=ISSUER)
    created = client.post("/api/v1/invoices", json={"customer": "acme", "period": "2026-10"})
    assert (created.status_code, created.json()["issuer"]) == (201, ISSUER)


def test_issuer_without_an_address_is_refused(client: TestClient) -> None:
    refused = client.put("/api/v1/issuer", json={**ISSUER, "address": " "})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "address")
