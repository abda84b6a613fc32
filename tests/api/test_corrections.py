"""Corrections of usage over the API: single ones, batches, the history of an event, and who may send them."""

from __future__ import annotations

from datetime import date
from typing import Any

from fastapi.testclient import TestClient

from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM, Role
from billing_app.services.identity.api_tokens import create_token
from tests.api.conftest import ClientOf
from tests.conftest import Clock
from tests.factories import make_customer, make_invoice, make_meter, record

USAGE, CORRECTIONS = "/api/v1/usage", "/api/v1/usage/corrections"


def use(client: TestClient, key: str = "a", quantity: str = "1530") -> None:
    event = {
        "customer": "acme",
        "idempotency_key": key,
        "quantity": quantity,
        "occurred_at": "2026-11-02T10:00:00Z",
    }
    assert client.post(USAGE, json=event).status_code == 201


def correction(**given: Any) -> dict[str, Any]:
    return {
        "customer": "acme", "idempotency_key": "a", "quantity": "1030", "reason": "Counted twice.",
        "correction_key": "fix 1", **given,
    }  # fmt: skip


def test_correction_is_recorded_once_and_shown_with_the_event(client: TestClient, database: Database) -> None:
    make_customer(database, key="acme", name="Acme")
    use(client)
    first = client.post(CORRECTIONS, json=correction())
    assert first.status_code == 201
    assert first.json() == {
        "status": "recorded",
        "correction": {
            "customer": {"id": "cus_1", "key": "acme", "name": "Acme"},
            "correction_key": "fix 1",
            "idempotency_key": "a",
            "number": 1,
            "meter": "usage",
            "occurred_at": "2026-11-02T10:00:00Z",
            "quantity_before": "1530",
            "quantity": "1030",
            "difference": "-500",
            "reason": "Counted twice.",
            "billing_period": "2026-11",
            "recorded_at": "2026-11-15T12:00:00Z",
            "recorded_by": "usr_1",
        },
    }
    again = client.post(CORRECTIONS, json=correction(quantity=1030))
    assert (again.status_code, again.json()) == (200, first.json() | {"status": "duplicate"})
    [event] = client.get(USAGE, params={"customer": "acme", "idempotency_key": "a"}).json()["items"]
    assert (event["quantity"], event["current_quantity"], event["correction_count"]) == ("1530", "1030", 1)
    repeated = client.post(
        USAGE,
        json={
            "customer": "acme",
            "idempotency_key": "a",
            "quantity": 1530,
            "occurred_at": "2026-11-02T10:00:00Z",
        },
    )
    assert repeated.status_code == 200
    assert repeated.json()["event"] == event


def test_refusals_have_stable_codes(client: TestClient, database: Database) -> None:
    make_customer(database, key="acme")
    use(client)
    assert client.post(CORRECTIONS, json=correction()).status_code == 201
    for given, status, code in (
        ({"reason": "Another."}, 409, "idempotency_conflict"),
        ({"correction_key": "fix 2"}, 409, "nothing_to_correct"),
        ({"idempotency_key": "b", "correction_key": "fix 2"}, 404, "event_not_found"),
        ({"customer": "nobody"}, 404, "customer_not_found"),
        ({"quantity": "-1"}, 422, "invalid"),
        ({"reason": ""}, 422, "invalid"),
    ):
        answer = client.post(CORRECTIONS, json=correction(**given))
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert answer.json()["detail"]


def test_batch_names_each_correction_that_was_not_recorded(client: TestClient, database: Database) -> None:
    make_customer(database, key="acme")
    use(client)
    rows = [
        correction(),
        correction(),
        correction(correction_key="same"),
        correction(idempotency_key="b", correction_key="b"),
        {"customer": "acme"},
        correction(**{"": 1}),
        7,
        correction(quantity="5", correction_key="fix 2"),
    ]
    answer = client.post(f"{CORRECTIONS}/batch", json={"corrections": rows})
    assert answer.status_code == 200
    outcome = answer.json()
    assert [outcome[name] for name in ("recorded", "duplicates", "conflicts", "rejected")] == [2, 1, 0, 5]
    assert [
        (each["index"], each["status"], each.get("code"), each.get("field")) for each in outcome["results"]
    ] == [
        (1, "duplicate", None, None),
        (2, "rejected", "nothing_to_correct", "quantity"),
        (3, "rejected", "event_not_found", "idempotency_key"),
        (4, "rejected", "invalid", "idempotency_key"),
        (5, "rejected", "invalid", None),
        (6, "rejected", "invalid", None),
    ]
    too_many = {"corrections": [correction()] * 10_001}
    assert client.post(f"{CORRECTIONS}/batch", json=too_many).json()["code"] == "batch_too_large"


def test_history_of_an_event_is_listed_newest_first(client: TestClient, database: Database) -> None:
    make_customer(database, key="acme")
    use(client)
    use(client, "b")
    for number in range(5):
        client.post(CORRECTIONS, json=correction(quantity=number, correction_key=f"a{number}"))
    client.post(CORRECTIONS, json=correction(idempotency_key="b", correction_key="b"))
    wanted = {"customer": "acme", "idempotency_key": "a"}
    page = client.get(CORRECTIONS, params={**wanted, "limit": 3}).json()
    rest = client.get(CORRECTIONS, params={**wanted, "limit": 3, "cursor": page["next_cursor"]}).json()
    assert [each["number"] for each in page["items"] + rest["items"]] == [5, 4, 3, 2, 1]
    assert len(client.get(CORRECTIONS).json()["items"]) == 6
    for period, found in (("2026-11", 6), ("2026-10", 0)):
        for name in ("period", "billing_period"):
            assert len(client.get(CORRECTIONS, params={name: period}).json()["items"]) == found
    assert client.get(CORRECTIONS, params={"idempotency_key": "a"}).status_code == 422


def test_corrections_that_an_invoice_bills_are_listed(
    client: TestClient, client_of: ClientOf, database: Database, clock: Clock
) -> None:
    customer = make_customer(database, key="acme", start=date(2026, 10, 1))
    record(database, customer, 1530, "2026-10-15T10:00:00Z")
    number = make_invoice(database, customer).number
    [event] = client.get(f"/api/v1/invoices/{number}/usage").json()["items"]
    assert client.get(f"/api/v1/invoices/{number}/corrections").json()["items"] == []
    for each in range(3):
        body = correction(idempotency_key=event["idempotency_key"], quantity=each, correction_key=str(each))
        assert client.post(CORRECTIONS, json=body).status_code == 201
    clock.set(2026, 12)
    client = client_of(Role.ADMIN)
    november = make_invoice(database, customer, date(2026, 11, 1)).number
    path = f"/api/v1/invoices/{november}/corrections"
    late = next(
        position
        for position, line in enumerate(client.get(f"/api/v1/invoices/{november}").json()["lines"], 1)
        if line["is_correction"]
    )
    page = client.get(path, params={"line": late, "limit": 2}).json()
    rest = client.get(path, params={"line": late, "limit": 2, "cursor": page["next_cursor"]}).json()
    assert [(each["number"], each["quantity"]) for each in page["items"] + rest["items"]] == [
        (1, "0"), (2, "1"), (3, "2"),
    ]  # fmt: skip
    assert len(client.get(path).json()["items"]) == 3
    assert client.get(path, params={"line": 2}).json()["items"] == []
    for wanted in ({"line": 1}, {"line": 99}):
        answer = client.get(path, params=wanted)
        assert (answer.status_code, answer.json()["code"]) == (404, "line_not_found")
    assert client.get("/api/v1/invoices/ACME-9999/corrections").json()["code"] == "invoice_not_found"


def test_unpriced_usage_is_filtered(client: TestClient, database: Database) -> None:
    make_customer(database, key="acme")
    make_meter(database, "seats", "max")
    use(client)
    seats = {"customer": "acme", "idempotency_key": "s", "quantity": 3, "meter": "seats"}
    assert client.post(USAGE, json=seats).status_code == 201
    found = client.get(USAGE, params={"unpriced": "true"}).json()["items"]
    assert [each["idempotency_key"] for each in found] == ["s"]
    exported = client.get(f"{USAGE}.csv", params={"unpriced": "true", "customer": "acme"})
    assert exported.headers["content-disposition"] == 'attachment; filename="usage-acme-unpriced.csv"'
    assert len(exported.text.splitlines()) == 2
    undo = correction(idempotency_key="s", quantity=0)
    assert client.post(CORRECTIONS, json=undo).status_code == 201
    assert client.get(USAGE, params={"unpriced": "true"}).json()["items"] == []


def test_who_may_correct_usage(client: TestClient, client_of: ClientOf, database: Database) -> None:
    make_customer(database, key="acme", name="Acme")
    use(client)

    def status_of(scopes: list[str], number: int) -> tuple[int, str]:
        with database.transaction(SYSTEM) as session:
            token = create_token(session, SYSTEM, name="a token", scopes=scopes).token
        answer = client.post(
            CORRECTIONS,
            json=correction(quantity=number, correction_key=str(number)),
            headers={"Authorization": f"Bearer {token}"},
        )
        body = answer.json()
        return answer.status_code, body["correction"]["customer"]["name"] if answer.status_code == 201 else ""

    assert status_of(["usage:write", "read"], 1) == (403, "")
    assert status_of(["usage:correct"], 2) == (201, "")
    assert status_of(["usage:correct", "read"], 3) == (201, "Acme")
    assert client_of(Role.FINANCE).post(CORRECTIONS, json=correction()).status_code == 403
    assert client_of(Role.FINANCE).get(CORRECTIONS).status_code == 200
