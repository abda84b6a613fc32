"""Batches over HTTP: each row is accepted or rejected on its own."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest
from fastapi.testclient import TestClient

from billing_app.database.session import Database
from tests.factories import make_customer

PATH = "/api/v1/usage/batch"
MOMENT = "2026-11-10T00:00:00Z"


@pytest.fixture(autouse=True)
def acme(database: Database) -> None:
    make_customer(database, key="acme")


def event(key: str, quantity: object = "1", **more: object) -> dict[str, Any]:
    return {"customer": "acme", "quantity": quantity, "occurred_at": MOMENT, "idempotency_key": key} | more


def keys_of(owner: psycopg.Connection) -> list[str]:
    return [key for [key] in owner.execute("SELECT idempotency_key FROM usage_event ORDER BY 1")]


# Rows with every outcome, if the event "old" is already recorded.
MIXED_ROWS = [
    event("new"),
    event("old"),
    event("old", 2),
    event("x", customer="missing"),
    event("x", occurred_at="2026-11-16T00:00:00Z"),
    event("x", quantity=-1),
    "acme,1",
    None,
    [event("x")],
    event("x", amount=1),
    {"customer": "acme", "quantity": 1},
    {},
    event("last"),
]


def test_each_row_has_its_own_result(client: TestClient, owner: psycopg.Connection) -> None:
    client.post(PATH, json={"events": [event("old")]})
    answer = client.post(PATH, json={"events": MIXED_ROWS})
    assert answer.status_code == 200, answer.text
    counts = answer.json()
    results = counts.pop("results")
    assert counts == {"recorded": 2, "duplicates": 1, "conflicts": 1, "rejected": 9}
    assert results[:2] == [
        {"index": 1, "status": "duplicate"},
        {
            "index": 2,
            "status": "conflict",
            "code": "idempotency_conflict",
            "detail": "idempotency_key was already used with a different quantity or time.",
            "field": "idempotency_key",
        },
    ]
    assert [(each["index"], each["code"], each.get("field")) for each in results[2:]] == [
        (3, "customer_not_found", "customer"),
        (4, "occurred_in_future", "occurred_at"),
        (5, "invalid", "quantity"),
        (6, "invalid", None),
        (7, "invalid", None),
        (8, "invalid", None),
        (9, "invalid", "amount"),
        (10, "invalid", "idempotency_key"),
        (11, "invalid", "customer"),
    ]
    assert {each["detail"] for each in results if each["index"] in (6, 9, 10)} == {
        "Must be a JSON object.",
        "amount is not a field of this request.",
        "idempotency_key is required.",
    }
    assert keys_of(owner) == ["last", "new", "old"]


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ('{"customer": "acme", "idempotency_key": "k", "quantity": 1e400}', "quantity"),
        ('{"customer": "acme", "idempotency_key": "k", "quantity": true}', "quantity"),
        ('{"customer": "acme", "idempotency_key": "a\\u0000b", "quantity": 1}', "idempotency_key"),
        ('{"customer": "acme", "idempotency_key": "\\ud800", "quantity": 1}', "idempotency_key"),
        ('{"customer": "acme", "idempotency_key": "a\\tb", "quantity": 1}', "idempotency_key"),
        ('{"customer": "acme", "idempotency_key": "a\\nb", "quantity": 1}', "idempotency_key"),
        ('{"customer": "acme", "idempotency_key": "a\\u007f", "quantity": 1}', "idempotency_key"),
        ('{"customer": "acme", "idempotency_key": "a\\u2028b", "quantity": 1}', "idempotency_key"),
        ('{"customer": "acme", "idempotency_key": "k", "quantity": "\\u0663"}', "quantity"),
        ('{"customer": "acme", "idempotency_key": "k", "quantity": "\\uff13"}', "quantity"),
        ('{"customer": "acme", "idempotency_key": "k", "quantity": 1, "\\ud800": 1}', "?"),
    ],
)
def test_invalid_row_does_not_affect_the_others(
    client: TestClient, owner: psycopg.Connection, row: str, field: str
) -> None:
    body = f'{{"events": [{json.dumps(event("before"))}, {row}, {json.dumps(event("after"))}]}}'
    answer = client.post(PATH, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 200, answer.text
    assert [(each["index"], each["field"]) for each in answer.json()["results"]] == [(1, field)]
    assert keys_of(owner) == ["after", "before"]


def test_quantities_are_recorded_to_the_last_digit(client: TestClient) -> None:
    written = {"a": "0.1", "b": "0.2", "c": "1e-6", "d": "12345678901234.123456"}
    rows = ",".join(
        f'{{"customer": "acme", "idempotency_key": "{key}", "quantity": {number}}}'
        for key, number in written.items()
    )
    client.post(PATH, content=f'{{"events": [{rows}]}}', headers={"content-type": "application/json"})
    listed = client.get("/api/v1/usage", params={"customer": "acme"}).json()["items"]
    assert {each["idempotency_key"]: each["quantity"] for each in listed} == written | {"c": "0.000001"}


def test_batch_has_at_most_ten_thousand_events(client: TestClient, owner: psycopg.Connection) -> None:
    rows = [event(f"k{number}") for number in range(10_001)]
    refused = client.post(PATH, json={"events": rows})
    assert (refused.status_code, refused.json()["code"]) == (422, "batch_too_large")
    assert keys_of(owner) == []
    answer = client.post(PATH, json={"events": rows[1:]})
    assert answer.json() == {
        "recorded": 10_000, "duplicates": 0, "conflicts": 0, "rejected": 0, "results": [],
    }  # fmt: skip
    assert client.post(PATH, json={"events": rows[1:]}).json()["duplicates"] == 10_000


def test_empty_batch_is_accepted_and_other_shapes_are_rejected(client: TestClient) -> None:
    assert client.post(PATH, json={"events": []}).json()["recorded"] == 0
    for body in ({}, {"events": {}}, {"events": None}, {"events": [], "more": 1}, []):
        refused = client.post(PATH, json=body)
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid"), body


def test_batch_has_one_audit_entry_and_a_single_event_has_none(
    client: TestClient, owner: psycopg.Connection
) -> None:
    client.post(PATH, json={"events": [event("a"), event("b")]})
    client.post("/api/v1/usage", json=event("c"))
    entries = owner.execute("SELECT details->>'recorded' FROM audit_entry WHERE action LIKE 'usage.%'")
    assert entries.fetchall() == [("2",)]
