"""Single events over HTTP: exact quantities, recorded exactly once, and rejections that name the field."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import httpx
import psycopg
import pytest
from fastapi.testclient import TestClient

from billing_app.database.session import Database
from billing_app.domain.actor import Role
from billing_app.services.customers.rows import CustomerRow
from tests.api.conftest import ClientOf
from tests.factories import make_customer

PATH = "/api/v1/usage"
EVENT = {
    "customer": "acme",
    "quantity": "1530.5",
    "occurred_at": "2026-11-10T00:00:00Z",
    "idempotency_key": "a",
}


FULLWIDTH = {ord("0") + digit: 0xFF10 + digit for digit in range(10)}
ARABIC_INDIC = {ord("0") + digit: 0x0660 + digit for digit in range(10)}


@pytest.fixture(autouse=True)
def acme(database: Database) -> CustomerRow:
    return make_customer(database, key="acme", name="Acme")


def events_of(owner: psycopg.Connection) -> list[tuple[Any, ...]]:
    return owner.execute("SELECT idempotency_key, quantity::text FROM usage_event ORDER BY 1").fetchall()


def post_raw(client: TestClient, body: bytes, media_type: str = "application/json") -> httpx.Response:
    return client.post(PATH, content=body, headers={"content-type": media_type})


def test_event_is_recorded_and_then_a_duplicate(client: TestClient, acme: CustomerRow) -> None:
    first = client.post(PATH, json=EVENT)
    assert first.status_code == 201, first.text
    assert first.json() == {
        "status": "recorded",
        "event": {
            "customer": {"id": acme.public_id, "key": "acme", "name": "Acme"},
            "idempotency_key": "a",
            "quantity": "1530.5",
            "occurred_at": "2026-11-10T00:00:00Z",
            "recorded_at": "2026-11-15T12:00:00Z",
            "billing_period": "2026-11",
            "recorded_by": client.get("/api/v1/auth/me").json()["id"],
            "meter": "usage",
            "item": None,
            "current_quantity": "1530.5",
            "correction_count": 0,
        },
    }
    again = client.post(PATH, json=EVENT | {"quantity": 1530.50})
    assert (again.status_code, again.json()) == (200, first.json() | {"status": "duplicate"})


def test_event_without_a_time_occurs_now(client: TestClient) -> None:
    body = {"customer": "acme", "quantity": 1, "idempotency_key": "a"}
    assert client.post(PATH, json=body).json()["event"]["occurred_at"] == "2026-11-15T12:00:00Z"
    assert client.post(PATH, json=body | {"occurred_at": None}).status_code == 200


def test_rejected_event_has_its_own_code(client: TestClient) -> None:
    client.post(PATH, json=EVENT)
    conflict = client.post(PATH, json=EVENT | {"quantity": "2"})
    assert (conflict.status_code, conflict.json()["code"]) == (409, "idempotency_conflict")
    unknown = client.post(PATH, json=EVENT | {"customer": "missing"})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "customer_not_found")
    client.patch("/api/v1/customers/acme", json={"status": "suspended"})
    later = EVENT | {"occurred_at": "2026-11-15T12:00:01Z", "idempotency_key": "b"}
    suspended = client.post(PATH, json=later)
    assert (suspended.status_code, suspended.json()["code"]) == (409, "customer_suspended")
    assert client.post(PATH, json=EVENT).status_code == 200
    for code, moment in (("no_plan", "2026-10-31T23:59:59Z"), ("occurred_in_future", "2026-11-16T00:00:00Z")):
        refused = client.post(PATH, json=EVENT | {"occurred_at": moment, "idempotency_key": "c"})
        assert (refused.status_code, refused.json()["code"]) == (422, code)
        assert refused.json()["errors"][0]["field"] == "occurred_at"


def test_finance_user_cannot_record_usage(client_of: ClientOf, owner: psycopg.Connection) -> None:
    finance = client_of(Role.FINANCE)
    for path, body in ((PATH, EVENT), (f"{PATH}/batch", {"events": [EVENT]})):
        refused = finance.post(path, json=body)
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert events_of(owner) == []


def test_unauthenticated_request_is_rejected_before_its_body_is_read(anonymous: TestClient) -> None:
    for path in (PATH, f"{PATH}/batch"):
        assert anonymous.post(path, json=EVENT).json()["code"] == "invalid_token"
    for path in (PATH, f"{PATH}.csv"):
        assert anonymous.get(path).json()["code"] == "invalid_token"


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_recorded_event_cannot_be_changed(client: TestClient, method: str) -> None:
    refused = client.request(method, PATH)
    assert (refused.status_code, refused.json()["code"]) == (405, "method_not_allowed")


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("0.1", "0.1"),
        ('"0.1"', "0.1"),
        ("1e-6", "0.000001"),
        ('"1e2"', "100"),
        ("1E+2", "100"),
        ("12345678901234.123456", "12345678901234.123456"),
        ('"12345678901234.123456"', "12345678901234.123456"),
        ("99999999999999.999999", "99999999999999.999999"),
        ("0.30000000000000000000", "0.3"),
        ("-0", "0"),
    ],
)
def test_quantity_is_recorded_to_the_last_digit(client: TestClient, written: str, stored: str) -> None:
    body = f'{{"customer": "acme", "idempotency_key": "a", "quantity": {written}}}'
    answer = post_raw(client, body.encode())
    assert answer.status_code == 201, answer.text
    assert answer.json()["event"]["quantity"] == stored
    assert client.get(PATH).json()["items"][0]["quantity"] == stored


def test_one_tenth_and_two_tenths_are_three_tenths(client: TestClient, database: Database) -> None:
    for key, quantity in (("a", "0.1"), ("b", "0.2")):
        post_raw(
            client, f'{{"customer": "acme", "idempotency_key": "{key}", "quantity": {quantity}}}'.encode()
        )
    with database.engine.connect() as connection:
        [total] = connection.exec_driver_sql("SELECT sum(quantity)::text FROM usage_event").one()
    assert total == "0.300000"


@pytest.mark.parametrize(
    "quantity",
    [
        "1e400", '"1e400"', "-1", "-0.1", '"1.0000001"', "1.0000001", "1e-7", "100000000000000", "1" + "0" * 4000,
        "true", "null", '""', '"one"', '"NaN"', '"Infinity"', '"0x10"', '"1_000"', '[1]', '{"value": 1}',
        '"' + "1" * 5000 + '"', '"\u0663"', '"\uff13"', '"1\u0966"',
    ],
)  # fmt: skip
def test_invalid_quantity_is_rejected(client: TestClient, owner: psycopg.Connection, quantity: str) -> None:
    body = f'{{"customer": "acme", "idempotency_key": "a", "quantity": {quantity}}}'
    refused = post_raw(client, body.encode())
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid"), refused.text
    assert [each["field"] for each in refused.json()["errors"]] == ["quantity"]
    assert events_of(owner) == []


@pytest.mark.parametrize(
    "body",
    [
        b'{"customer": "acme", "idempotency_key": "a", "quantity": NaN}',
        b'{"customer": "acme", "idempotency_key": "a", "quantity": -Infinity}',
        b'{"customer": "acme", "idempotency_key": "a", "quantity": 1e99999999999999999999}',
        b'{"customer": "acme", "idempotency_key": "a", "quantity": ' + b"1" * 5000 + b"}",
        b'{"customer": "acme", "idempotency_key": "a", "quantity": 1, "quantity": 2}',
        b'{"customer": "acme", "idempotency_key": "\xff", "quantity": 1}',
        json.dumps(EVENT).encode("utf-16"),
        b'{"quantity": ' + b"[" * 100_000,
        b"",
        b"acme,1",
        '{"customer": "acme", "idempotency_key": "a", "quantity": \uff13}'.encode(),
        b"[]",
        b"null",
    ],
)
def test_body_that_is_not_a_plain_json_object_is_rejected(
    client: TestClient, owner: psycopg.Connection, body: bytes
) -> None:
    refused = post_raw(client, body)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid"), refused.text
    assert [each["field"] for each in refused.json()["errors"]] == ["body"]
    assert events_of(owner) == []


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (gzip.compress(json.dumps(EVENT).encode(), mtime=0), "is compressed with gzip"),
        (json.dumps(EVENT).encode("utf-16"), "is UTF-16"),
        (b"\xfe\xff" + json.dumps(EVENT).encode("utf-16-be"), "is UTF-16"),
        (b'{"customer": "caf\xe9"}', "is not UTF-8"),
    ],
)
def test_body_that_is_not_utf8_says_what_it_is(client: TestClient, body: bytes, fault: str) -> None:
    (error,) = post_raw(client, body).json()["errors"]
    assert error["message"].startswith(f"must be JSON: the body {fault}")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("customer", 7),
        ("customer", ""),
        ("customer", "a\0b"),
        ("customer", "\ud800"),
        ("idempotency_key", ""),
        ("idempotency_key", None),
        ("idempotency_key", 7),
        ("idempotency_key", "k" * 256),
        ("idempotency_key", "a\0b"),
        ("idempotency_key", "a\tb"),
        ("idempotency_key", "a\nb"),
        ("idempotency_key", "\ra"),
        ("idempotency_key", "a\x7f"),
        ("idempotency_key", "a\u2029b"),
        ("idempotency_key", "a\udc00"),
        ("occurred_at", "2026-11-10T00:00:00"),
        ("occurred_at", "2026-11-10"),
        ("occurred_at", 1_794_000_000),
        ("occurred_at", ""),
        ("occurred_at", "\uff12026-11-10T00:00:00Z"),
        ("occurred_at", "2026-11-1\u0660T00:00:00Z"),
        ("occurred_at", {}),
    ],
)
def test_invalid_field_is_named(
    client: TestClient, owner: psycopg.Connection, field: str, value: object
) -> None:
    refused = post_raw(client, json.dumps(EVENT | {field: value}).encode())
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid"), refused.text
    assert [each["field"] for each in refused.json()["errors"]] == [field]
    assert events_of(owner) == []


def test_missing_and_unknown_fields_are_named(client: TestClient) -> None:
    refused = client.post(PATH, json={"quantity": 1, "amount": 2})
    fields = {each["field"] for each in refused.json()["errors"]}
    assert fields == {"customer", "idempotency_key", "amount"}
    refused = post_raw(client, b'{"\\ud800": 1}')
    assert refused.status_code == 422


def test_other_media_type_is_rejected(client: TestClient) -> None:
    assert post_raw(client, b"a=1", "application/x-www-form-urlencoded").status_code == 415


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("limit", "\uff13"),
        ("limit", "\u0663"),
        ("limit", "5\u0966"),
        ("period", "\uff12026-11"),
        ("period", "2026-1\u0661"),
        ("billing_period", "2026-\u0661\u0661"),
    ],
)
def test_query_parameters_take_ascii_digits_only(client: TestClient, parameter: str, value: str) -> None:
    refused = client.get(PATH, params={parameter: value})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid")
    assert [each["field"] for each in refused.json()["errors"]] == [parameter]


def test_ids_take_ascii_digits_only(client: TestClient, acme: CustomerRow) -> None:
    for digits in (str(acme.customer_id).translate(FULLWIDTH), str(acme.customer_id).translate(ARABIC_INDIC)):
        for customer in (f"cus_{digits}", f"\N{FULLWIDTH LATIN SMALL LETTER C}us_{acme.customer_id}"):
            assert client.get(f"/api/v1/customers/{customer}").status_code == 404
            assert client.post(PATH, json=EVENT | {"customer": customer}).status_code == 404


def at_once(count: int, send: Callable[[int], httpx.Response]) -> Counter[int]:
    """Send requests at the same time and count their statuses."""
    barrier = Barrier(count)

    def one(number: int) -> int:
        barrier.wait(timeout=30)
        return send(number).status_code

    with ThreadPoolExecutor(count) as pool:
        return Counter(pool.map(one, range(count)))


def test_fifty_requests_with_the_same_key_record_one_event(
    client: TestClient, owner: psycopg.Connection
) -> None:
    with client:
        statuses = at_once(50, lambda _: client.post(PATH, json=EVENT))
    assert statuses == {201: 1, 200: 49}
    assert events_of(owner) == [("a", "1530.500000")]


def test_fifty_requests_with_the_same_key_and_different_quantities_record_one_event(
    client: TestClient, owner: psycopg.Connection
) -> None:
    with client:
        statuses = at_once(50, lambda number: client.post(PATH, json=EVENT | {"quantity": number}))
    assert statuses == {201: 1, 409: 49}
    assert len(events_of(owner)) == 1
