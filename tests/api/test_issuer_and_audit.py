from __future__ import annotations

from fastapi.testclient import TestClient

ISSUER = {
    "name": "Northwind Ltd",
    "address": "12 Harbour Road\nBristol",
    "email": "billing@northwind.example",
    "payment_instructions": "IBAN GB33",
}


def test_the_issuer_is_replaced_and_a_stale_write_told_the_newer_values(client: TestClient) -> None:
    assert client.get("/api/v1/issuer").json()["name"] == ""
    answer = client.put("/api/v1/issuer", json={**ISSUER, "version": 1})
    assert answer.json() == {**ISSUER, "version": 2}
    assert client.get("/api/v1/issuer").json() == answer.json()
    stale = client.put("/api/v1/issuer", json={**ISSUER, "name": "Southwind", "version": 1})
    assert (stale.status_code, stale.json()["code"]) == (409, "stale")
    assert (stale.json()["version"], stale.json()["newer"]["name"]) == (2, "Northwind Ltd")
    for version in ("2", 2.0, True, 0):
        assert client.put("/api/v1/issuer", json={**ISSUER, "version": version}).status_code == 422


def test_the_audit_log_tells_who_did_what(client: TestClient) -> None:
    client.put("/api/v1/issuer", json=ISSUER)
    me = client.get("/api/v1/auth/me").json()
    newest = client.get("/api/v1/audit", params={"subject": "issuer"}).json()["items"][0]
    assert newest["actor"] == {"id": me["id"], "name": me["name"]}
    assert (newest["action"], newest["details"]["name"]) == ("issuer.changed", "Northwind Ltd")
    mine = client.get("/api/v1/audit", params={"actor": me["id"], "limit": 1}).json()
    assert mine["items"] == [newest]
    rest = client.get("/api/v1/audit", params={"actor": me["id"], "cursor": mine["next_cursor"]}).json()
    assert [each["action"] for each in rest["items"]] == ["user.signed_in"]


def test_a_refused_method_is_told_which_ones_there_are(client: TestClient) -> None:
    refused = client.delete("/api/v1/issuer")
    assert (refused.status_code, refused.json()["code"]) == (405, "method_not_allowed")
    assert refused.headers["allow"] == "GET, PUT"
    assert client.put("/api/v1/customers/acme").headers["allow"] == "GET, PATCH"
    assert client.post("/api/openapi.json").status_code == 405
