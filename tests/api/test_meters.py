"""Meters over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from billing_app.domain.actor import Role
from tests.api.conftest import ClientOf

METERS = "/api/v1/meters"
CALLS = {"code": "api_calls", "name": "API calls", "unit": "call", "aggregation": "sum"}


def problem(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_meter_is_created_and_read_back(client: TestClient) -> None:
    made = client.post(METERS, json=CALLS | {"event_type": "com.example.call"})
    assert made.status_code == 201, made.text
    assert made.headers["location"] == f"{METERS}/api_calls"
    assert made.json() == CALLS | {
        "event_type": "com.example.call",
        "takes_other_types": False,
        "archived": False,
        "created_at": "2026-11-15T12:00:00Z",
        "version": 1,
    }
    assert client.get(f"{METERS}/api_calls").json() == made.json()
    listed = client.get(METERS).json()
    assert [each["code"] for each in listed["items"]] == ["usage", "api_calls"]
    assert listed["items"][0] | {"created_at": ""} == {
        "code": "usage",
        "name": "Usage",
        "unit": "unit",
        "aggregation": "sum",
        "event_type": "usage",
        "takes_other_types": True,
        "archived": False,
        "created_at": "",
        "version": 1,
    }


def test_meter_is_changed_and_archived(client: TestClient) -> None:
    client.post(METERS, json=CALLS)
    changed = client.patch(f"{METERS}/api_calls", json={"name": "Requests", "unit": "request", "version": 1})
    assert (changed.status_code, changed.json()["name"], changed.json()["version"]) == (200, "Requests", 2)
    stale = client.patch(f"{METERS}/api_calls", json={"name": "Calls", "version": 1})
    assert problem(stale) == (409, "stale")
    assert (stale.json()["version"], stale.json()["newer"]["name"]) == (2, "Requests")
    archived = client.post(f"{METERS}/api_calls/archive")
    assert (archived.status_code, archived.json()["archived"]) == (200, True)
    assert [each["code"] for each in client.get(METERS, params={"archived": False}).json()["items"]] == [
        "usage"
    ]


@pytest.mark.parametrize("field", ["code", "aggregation", "event_type"])
def test_meaning_of_a_meter_cannot_be_changed(client: TestClient, field: str) -> None:
    client.post(METERS, json=CALLS)
    refused = client.patch(f"{METERS}/api_calls", json={field: "max"})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, field)
    assert client.delete(f"{METERS}/api_calls").status_code == 405


def test_refusals(client: TestClient) -> None:
    client.post(METERS, json=CALLS)
    assert problem(client.post(METERS, json=CALLS)) == (409, "meter_code_taken")
    taken = client.post(METERS, json=CALLS | {"code": "calls", "event_type": "api_calls"})
    assert (*problem(taken), taken.json()["meter"]) == (409, "event_type_taken", "api_calls")
    assert taken.json()["detail"] == "The meter api_calls already takes events of the type api_calls."
    assert problem(client.post(f"{METERS}/usage/archive")) == (409, "default_meter")
    for method, path in (("GET", ""), ("PATCH", ""), ("POST", "/archive")):
        for code in ("missing", "API_CALLS", "a%00b", "%C3%A9"):
            answer = client.request(method, f"{METERS}/{code}{path}", json={} if method == "PATCH" else None)
            assert problem(answer) == (404, "meter_not_found")
    assert problem(client.post(METERS, json=CALLS | {"code": "API"})) == (422, "invalid")
    assert problem(client.post(METERS, json=CALLS | {"aggregation": "average"})) == (422, "invalid")


def test_roles(client_of: ClientOf) -> None:
    finance, billing, admin = (client_of(role) for role in (Role.FINANCE, Role.BILLING, Role.ADMIN))
    assert billing.post(METERS, json=CALLS).status_code == 201
    assert len(finance.get(METERS).json()["items"]) == 2
    assert problem(finance.post(METERS, json=CALLS | {"code": "x"})) == (403, "forbidden")
    assert problem(finance.patch(f"{METERS}/api_calls", json={"name": "x"})) == (403, "forbidden")
    assert problem(finance.post(f"{METERS}/api_calls/archive")) == (403, "forbidden")
    off = {"takes_other_types": False}
    assert problem(billing.patch(f"{METERS}/usage", json=off)) == (403, "forbidden")
    assert admin.patch(f"{METERS}/usage", json=off).json()["takes_other_types"] is False


def test_request_with_a_key_makes_one_meter(client: TestClient) -> None:
    headers = {"Idempotency-Key": "once"}
    first = client.post(METERS, json=CALLS, headers=headers)
    again = client.post(METERS, json=CALLS, headers=headers)
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["idempotent-replayed"] == "true"
