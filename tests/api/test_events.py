"""CloudEvents over HTTP, in each content mode."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import httpx
import psycopg
import pytest
from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI
from fastapi.testclient import TestClient

from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM, Role
from billing_app.services.identity.api_tokens import create_token
from tests.api.conftest import ClientOf
from tests.factories import make_customer

PATH = "/api/v1/events"
ONE, MANY, EITHER = "application/cloudevents+json", "application/cloudevents-batch+json", "application/json"


@pytest.fixture(autouse=True)
def acme(database: Database) -> None:
    make_customer(database, key="acme")


def event(number: str = "1", **changed: object) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": number,
        "source": "meter-7",
        "type": "api-calls",
        "subject": "acme",
        "time": "2026-11-10T00:00:00Z",
        "data": {"value": 1530.5},
        **changed,
    }


def send(client: TestClient, body: object, media_type: str = EITHER, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.post(PATH, content=content, headers={"content-type": media_type, **headers})


def events_of(owner: psycopg.Connection) -> list[tuple[Any, ...]]:
    query = "SELECT idempotency_key, quantity::text, occurred_at::text FROM usage_event ORDER BY 1"
    return owner.execute(query).fetchall()


RECORDED = ("meter-7 1", "1530.500000", "2026-11-10 00:00:00+00")


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        (ONE, event()),
        (f"{ONE}; charset=utf-8", event()),
        (MANY, [event()]),
        (EITHER, event()),
        (EITHER, [event()]),
        (ONE, event(data={"value": "1530.50", "model": "gpt"})),
        (ONE, event(data={"quantity": 1530.5, "value": 7})),
        (ONE, event(datacontenttype="application/json", dataschema="urn:x", traceparent="00-1")),
        (ONE, event(subject="ACME")),
    ],
)
def test_event_is_recorded_once_in_every_content_mode(
    client: TestClient, owner: psycopg.Connection, media_type: str, body: object
) -> None:
    for _ in range(2):
        answer = send(client, body, media_type)
        assert (answer.status_code, answer.content) == (204, b""), answer.text
    assert events_of(owner) == [RECORDED]


def test_event_in_binary_mode_is_recorded(client: TestClient, owner: psycopg.Connection) -> None:
    attributes = {
        f"ce-{name}": value for name, value in event(source="caf%C3%A9%2F7").items() if name != "data"
    }
    assert send(client, {"quantity": "0.1"}, EITHER, **attributes).status_code == 204
    assert events_of(owner) == [("café/7 1", "0.100000", "2026-11-10 00:00:00+00")]
    for source, field in (("%FF", "headers"), ("caf%C3%A9%0A7", "source"), ("7%09", "source")):
        refused = send(client, {"quantity": "0.1"}, EITHER, **attributes | {"ce-source": source})
        assert refused.json()["errors"][0]["field"] == field


def test_event_without_a_time_occurs_now(client: TestClient, owner: psycopg.Connection) -> None:
    untimed = event()
    del untimed["time"]
    assert send(client, untimed, ONE).status_code == 204
    assert events_of(owner)[0][2] == "2026-11-15 12:00:00+00"
    assert send(client, event(time=None), ONE).status_code == 204


@pytest.mark.parametrize(
    ("changed", "field", "code"),
    [
        ({"specversion": "0.3"}, "specversion", "invalid"),
        ({"specversion": 1.0}, "specversion", "invalid"),
        ({"specversion": None}, "specversion", "invalid"),
        ({"id": ""}, "id", "invalid"),
        ({"id": 7}, "id", "invalid"),
        ({"source": ""}, "source", "invalid"),
        ({"source": "meter 7"}, "source", "invalid"),
        ({"type": ""}, "type", "invalid"),
        ({"type": None}, "type", "invalid"),
        ({"subject": None}, "subject", "invalid"),
        ({"subject": "missing"}, "subject", "customer_not_found"),
        ({"time": "yesterday"}, "time", "invalid"),
        ({"time": "2026-11-16T00:00:00Z"}, "time", "occurred_in_future"),
        ({"time": "2026-10-10T00:00:00Z"}, "time", "no_plan"),
        ({"data": None}, "data", "invalid"),
        ({"data": {}}, "data", "invalid"),
        ({"data": 5}, "data", "invalid"),
        ({"data": '{"value": 5}'}, "data", "invalid"),
        ({"data": {"value": -1}}, "data.value", "invalid"),
        ({"data": {"quantity": None, "value": 1}}, "data.quantity", "invalid"),
        ({"data": {"quantity": "1.0000001"}}, "data.quantity", "invalid"),
        ({"data": {"value": "\N{ARABIC-INDIC DIGIT THREE}"}}, "data.value", "invalid"),
        ({"data": {"value": "\N{FULLWIDTH DIGIT THREE}"}}, "data.value", "invalid"),
        ({"id": "k" * 248}, "id", "invalid"),
        ({"id": "a\0"}, "id", "invalid"),
        ({"id": "a\tb"}, "id", "invalid"),
        ({"id": "a\nb"}, "id", "invalid"),
        ({"id": "a\x7f"}, "id", "invalid"),
        ({"id": "a\u2028b"}, "id", "invalid"),
        ({"source": "meter\t7"}, "source", "invalid"),
        ({"source": "meter\r\n7"}, "source", "invalid"),
        ({"source": "meter\x857"}, "source", "invalid"),
        ({"source": "meter\0"}, "source", "invalid"),
        ({"id": "\ud800"}, "id", "invalid"),
        ({"id": "old", "data": {"value": 8}}, "id", "idempotency_conflict"),
    ],
)
def test_rejected_event_is_named_and_the_others_are_recorded(
    client: TestClient, owner: psycopg.Connection, changed: dict[str, object], field: str, code: str
) -> None:
    send(client, event("old", data={"value": 7}), ONE)
    bad = event("x") | changed
    alone = send(client, bad, ONE)
    assert (alone.status_code, alone.json()["code"]) == (422, "events_refused"), alone.text
    [error] = alone.json()["errors"]
    assert (error["index"], error["code"], error["field"]) == (0, code, field)
    assert error["message"]
    among = send(client, [event("1"), bad, event("2")], MANY)
    assert among.status_code == 422
    assert among.json()["errors"] == [error | {"index": 1}]
    assert [row[0] for row in events_of(owner)] == ["meter-7 1", "meter-7 2", "meter-7 old"]


@pytest.mark.parametrize("body", [1, "x", None, [event()]])
def test_event_that_is_not_an_object_is_rejected(client: TestClient, body: object) -> None:
    for wrapped, media_type in (([body], MANY), ([body], EITHER)):
        refused = send(client, wrapped, media_type)
        assert refused.json()["errors"][0]["field"] == "event"


@pytest.mark.parametrize(
    ("media_type", "body"),
    [(ONE, [event()]), (MANY, event()), (EITHER, b""), (EITHER, b"{"), (ONE, b"\xff")],
)
def test_body_must_match_its_media_type(
    client: TestClient, owner: psycopg.Connection, media_type: str, body: object
) -> None:
    refused = send(client, body, media_type)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid")
    assert refused.json()["errors"][0]["field"] == "body"
    assert events_of(owner) == []


def test_other_media_types_are_rejected(client: TestClient) -> None:
    for media_type in ("text/plain", "application/avro", "application/cloudevents+avro"):
        assert send(client, event(), media_type).status_code == 415


def test_batch_has_at_most_ten_thousand_events(client: TestClient, owner: psycopg.Connection) -> None:
    refused = send(client, [event(str(number)) for number in range(10_001)], MANY)
    assert (refused.status_code, refused.json()["code"]) == (422, "batch_too_large")
    assert events_of(owner) == []
    assert send(client, [], MANY).status_code == 204


def test_finance_user_cannot_record_events(client_of: ClientOf, owner: psycopg.Connection) -> None:
    finance = client_of(Role.FINANCE)
    for body in (event(), [event("1"), event("2")], []):
        assert send(finance, body).status_code == 403
    assert events_of(owner) == []


def test_quantity_is_recorded_to_the_last_digit(client: TestClient, owner: psycopg.Connection) -> None:
    whole = json.dumps(event(data={"value": "Q"})).replace('"Q"', "12345678901234.123456")
    assert send(client, whole.encode(), ONE).status_code == 204
    assert events_of(owner)[0][1] == "12345678901234.123456"


def test_batch_has_one_audit_entry_and_a_single_event_has_none(
    client: TestClient, owner: psycopg.Connection
) -> None:
    send(client, event("1"), ONE)
    send(client, [event("2"), event("3")], MANY)
    entries = owner.execute("SELECT details->>'recorded' FROM audit_entry WHERE action LIKE 'usage.%'")
    assert entries.fetchall() == [("2",)]


def test_single_event_needs_no_worker_thread(
    api: FastAPI, database: Database, owner: psycopg.Connection
) -> None:
    """A single event is recorded even if all worker threads are busy, for example with slow batches."""
    with database.transaction(SYSTEM) as session:
        token = create_token(session, SYSTEM, name="meter", scopes=["usage:write"]).token
    headers = {"authorization": f"Bearer {token}"}
    with TestClient(api, headers=headers) as client, ThreadPoolExecutor(1) as pool:
        assert client.portal is not None
        borrowers = client.portal.call(_borrow_all_threads)
        sent = [pool.submit(send, client, event("1"), ONE), pool.submit(send, client, event("x", id=""), ONE)]
        done, _ = wait(sent, timeout=20)
        client.portal.call(_return_threads, borrowers)
        assert [each.result().status_code for each in sent] == [204, 422]
        assert len(done) == 2
    assert events_of(owner) == [RECORDED]


async def _borrow_all_threads() -> list[object]:
    limiter = current_default_thread_limiter()
    borrowers = [object() for _ in range(int(limiter.total_tokens))]
    for borrower in borrowers:
        limiter.acquire_on_behalf_of_nowait(borrower)
    return borrowers


async def _return_threads(borrowers: list[object]) -> None:
    for borrower in borrowers:
        current_default_thread_limiter().release_on_behalf_of(borrower)
