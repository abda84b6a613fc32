"""Events on meters, through every way in: single, in batches, as CloudEvents, and in files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM
from billing_app.jobs.usage_imports import check_files, import_files
from billing_app.services.identity.api_tokens import create_token
from tests.api.usage_files import IMPORTS, TIME, counts, get, upload
from tests.factories import make_customer, make_meter

USAGE, EVENTS = "/api/v1/usage", "/api/v1/events"
EVENT = {"customer": "acme", "idempotency_key": "k", "occurred_at": TIME}
Outcome = tuple[str, str, str]
Report = dict[str, Any]


@pytest.fixture(autouse=True)
def world(database: Database) -> None:
    """A customer, and a meter of each aggregation."""
    make_customer(database, key="acme")
    make_meter(database, "calls")
    make_meter(database, "seats", "max", event_type="com.example.seats")
    make_meter(database, "users", "unique")


@pytest.fixture
def sender(api: FastAPI, database: Database) -> TestClient:
    """A program with a token, whose single events are answered without the framework."""
    token = database.call(SYSTEM, create_token, name="meter", scopes=["usage:write", "read"]).token
    client = TestClient(api, raise_server_exceptions=False)
    client.headers["Authorization"] = f"Bearer {token}"
    return client


def single(client: TestClient, report: Report) -> Outcome:
    return _outcome(client.post(USAGE, json=report))


def by_endpoint(client: TestClient, report: Report) -> Outcome:
    # Chunked, so that the endpoint answers.
    content = (part.encode() for part in [json.dumps(report)])
    return _outcome(client.post(USAGE, content=content, headers={"content-type": "application/json"}))


def _outcome(answer: Any) -> Outcome:
    body = answer.json()
    if answer.status_code < 300:
        return body["status"], "", ""
    return body["code"], str(answer.status_code), body["errors"][0]["field"] if body.get("errors") else ""


def in_batch(client: TestClient, report: Report) -> Outcome:
    return _batch_outcome(client.post(f"{USAGE}/batch", json={"events": [report]}).json())


def in_plain_batch(client: TestClient, report: Report) -> Outcome:
    """Send the report in a batch whose body is decoded at once, if it is such a report."""
    other = dict.fromkeys(report, "x") | {"customer": "nobody", "idempotency_key": "o", "quantity": "1"}
    body = client.post(f"{USAGE}/batch", json={"events": [report, other]}).json()
    body["results"] = [row for row in body["results"] if row["index"] == 0]
    return _batch_outcome(body)


def _batch_outcome(body: Any) -> Outcome:
    if not body["results"]:
        return "recorded", "", ""
    [row] = body["results"]
    if row["status"] == "duplicate":
        return "duplicate", "", ""
    status = {"meter_not_found": "404", "customer_not_found": "404", "idempotency_conflict": "409"}
    return row["code"], status.get(row["code"], "422"), row["field"]


WAYS = [single, by_endpoint, in_batch, in_plain_batch]


@pytest.mark.parametrize("send", WAYS)
@pytest.mark.parametrize(
    ("report", "outcome"),
    [
        ({"meter": "calls", "quantity": "2"}, ("recorded", "", "")),
        ({"meter": "usage", "quantity": "2"}, ("recorded", "", "")),
        ({"meter": "seats", "quantity": 0}, ("recorded", "", "")),
        ({"meter": "users", "item": "ada"}, ("recorded", "", "")),
        ({"meter": "users", "item": "a\\b \u00e9", "quantity": None}, ("recorded", "", "")),
        ({"meter": "users", "item": "ada", "quantity": "1.0"}, ("recorded", "", "")),
        ({"meter": None, "item": None, "quantity": 1}, ("recorded", "", "")),
        ({"meter": "users", "item": "ada", "quantity": "2"}, ("invalid", "422", "quantity")),
        ({"meter": "users", "item": "ada", "quantity": "0"}, ("invalid", "422", "quantity")),
        ({"meter": "users", "quantity": "1"}, ("invalid", "422", "item")),
        ({"meter": "users", "item": "", "quantity": "1"}, ("invalid", "422", "item")),
        ({"meter": "users", "item": "a\tb", "quantity": "1"}, ("invalid", "422", "item")),
        ({"meter": "users", "item": "x" * 256, "quantity": "1"}, ("invalid", "422", "item")),
        ({"meter": "users", "item": 7, "quantity": "1"}, ("invalid", "422", "item")),
        ({"meter": "calls", "item": "ada", "quantity": "1"}, ("invalid", "422", "item")),
        ({"item": "ada", "quantity": "1"}, ("invalid", "422", "item")),
        ({"meter": "calls"}, ("invalid", "422", "quantity")),
        ({"quantity": None}, ("invalid", "422", "quantity")),
        ({"meter": "missing", "quantity": "1"}, ("meter_not_found", "404", "meter")),
        ({"meter": "Calls", "quantity": "1"}, ("meter_not_found", "404", "meter")),
        ({"meter": "a\x00b", "quantity": "1"}, ("meter_not_found", "404", "meter")),
        ({"meter": 7, "quantity": "1"}, ("invalid", "422", "meter")),
        ({"meter": "", "quantity": "1"}, ("invalid", "422", "meter")),
        (
            {"meter": "missing", "customer": "missing", "quantity": "1"},
            ("customer_not_found", "404", "customer"),
        ),
    ],
)
def test_meter_decides_what_an_event_needs(
    sender: TestClient,
    owner: psycopg.Connection,
    send: Callable[[TestClient, Report], Outcome],
    report: Report,
    outcome: Outcome,
) -> None:
    assert send(sender, EVENT | report) == outcome
    recorded = owner.execute(
        "SELECT m.code, e.item, e.quantity FROM usage_event e JOIN meter m USING (meter_id)"
        " WHERE idempotency_key = 'k'"
    ).fetchall()
    if outcome[0] != "recorded":
        assert recorded == []
        return
    quantity = float(report.get("quantity") or 1) if report.get("item") else float(report["quantity"])
    assert recorded == [(report.get("meter") or "usage", report.get("item"), quantity)]
    assert send(sender, EVENT | report) == ("duplicate", "", "")


@pytest.mark.parametrize("send", WAYS)
@pytest.mark.parametrize(
    ("first", "again", "status"),
    [
        ({"meter": "calls", "quantity": 1}, {"quantity": 1}, "duplicate"),
        ({"meter": "calls", "quantity": 1}, {"meter": "seats", "quantity": 1}, "idempotency_conflict"),
        ({"meter": "calls", "quantity": 1}, {"meter": "missing", "quantity": 1}, "idempotency_conflict"),
        ({"meter": "calls", "quantity": 1}, {"meter": "calls"}, "idempotency_conflict"),
        ({"quantity": 1}, {"meter": "usage", "quantity": 1}, "duplicate"),
        ({"quantity": 1}, {"meter": "calls", "quantity": 1}, "idempotency_conflict"),
        ({"quantity": 1}, {"quantity": 1, "item": "ada"}, "idempotency_conflict"),
        ({"meter": "users", "item": "ada"}, {"item": "ada"}, "duplicate"),
        ({"meter": "users", "item": "ada"}, {"meter": "users", "item": "ada", "quantity": 1}, "duplicate"),
        ({"meter": "users", "item": "ada"}, {"meter": "users", "item": "bob"}, "idempotency_conflict"),
        ({"meter": "users", "item": "ada"}, {"quantity": 1}, "idempotency_conflict"),
        ({"meter": "users", "item": "ada"}, {"meter": "users", "item": "ada", "quantity": 2},
         "idempotency_conflict"),
    ],
)  # fmt: skip
def test_repeat_is_compared_with_the_event_over_all_meters(
    sender: TestClient,
    send: Callable[[TestClient, Report], Outcome],
    first: Report,
    again: Report,
    status: str,
) -> None:
    assert send(sender, EVENT | first)[0] == "recorded"
    assert send(sender, EVENT | again)[0] == status


def test_event_names_its_meter_and_item_everywhere(client: TestClient) -> None:
    made = client.post(USAGE, json=EVENT | {"meter": "users", "item": "ada"}).json()["event"]
    assert (made["meter"], made["item"], made["quantity"]) == ("users", "ada", "1")
    client.post(USAGE, json=EVENT | {"idempotency_key": "plain", "quantity": 5})
    [newer, older] = sorted(client.get(USAGE).json()["items"], key=lambda each: str(each["meter"]))
    assert (newer["meter"], newer["item"], older) == ("usage", None, made)


def test_single_events_and_endpoints_answer_alike(sender: TestClient) -> None:
    for number, report in enumerate(
        [{"meter": "users", "item": "ada"}, {"quantity": 1}, {"meter": "seats", "quantity": 2}]
    ):
        body = EVENT | report | {"idempotency_key": f"k{number}"}
        sender.post(USAGE, json=body)
        content = (part.encode() for part in [json.dumps(body)])
        by_framework = sender.post(USAGE, content=content, headers={"content-type": "application/json"})
        assert sender.post(USAGE, json=body).content == by_framework.content


def test_usage_is_filtered_by_meter_and_key(client: TestClient, database: Database) -> None:
    make_customer(database, key="globex")
    for customer, key, meter in (("acme", "a", "calls"), ("acme", "b", "seats"), ("globex", "a", "seats")):
        body = {"customer": customer, "idempotency_key": key, "meter": meter, "quantity": 1}
        assert client.post(USAGE, json=body).status_code == 201

    def found(**filters: str) -> list[tuple[str, str]]:
        items = client.get(USAGE, params=filters).json()["items"]
        return sorted((each["customer"]["key"], each["idempotency_key"]) for each in items)

    assert found(meter="seats") == [("acme", "b"), ("globex", "a")]
    assert found(meter="usage") == []
    assert found(idempotency_key="a") == [("acme", "a"), ("globex", "a")]
    assert found(idempotency_key="a", customer="acme") == [("acme", "a")]
    assert found(idempotency_key="a", meter="seats") == [("globex", "a")]
    assert found(idempotency_key="missing") == []
    for path in (USAGE, f"{USAGE}.csv"):
        unknown = client.get(path, params={"meter": "missing"})
        assert (unknown.status_code, unknown.json()["code"]) == (404, "meter_not_found")
        assert client.get(path, params={"idempotency_key": "a\tb"}).status_code == 422
    assert client.get(f"{USAGE}.csv", params={"meter": "seats"}).text.count("\n") == 3


def cloud_event(event_type: str, data: object, **changed: object) -> dict[str, Any]:
    return {
        "specversion": "1.0", "id": "1", "source": "m", "type": event_type, "subject": "acme",
        "time": TIME, "data": data, **changed,
    }  # fmt: skip


def send_cloud_event(client: TestClient, event: dict[str, Any]) -> tuple[int, list[tuple[str, str]]]:
    answer = client.post(EVENTS, json=event)
    errors = [] if answer.status_code == 204 else answer.json()["errors"]
    return answer.status_code, [(each["code"], each["field"]) for each in errors]


def send_cloud_events(client: TestClient, event: dict[str, Any]) -> tuple[int, list[tuple[str, str]]]:
    """Send the event in a batch, after one of an unknown customer."""
    answer = client.post(EVENTS, json=[event | {"subject": "nobody"}, event])
    errors = [each for each in answer.json()["errors"] if each["index"] == 1]
    return 422 if errors else 204, [(each["code"], each["field"]) for each in errors]


@pytest.mark.parametrize("send", [send_cloud_event, send_cloud_events])
@pytest.mark.parametrize(
    ("event_type", "data", "meter"),
    [
        ("calls", {"value": 3}, "calls"),
        ("com.example.seats", {"quantity": "3"}, "seats"),
        ("users", {"item": "ada"}, "users"),
        ("users", {"item": "ada", "quantity": 1}, "users"),
        ("seats", {"value": 3}, "usage"),
        ("usage", {"value": 3}, "usage"),
        ("anything else", {"value": 3}, "usage"),
        ("a\x00b", {"value": 3}, "usage"),
        ("x" * 300, {"value": 3}, "usage"),
    ],
)
def test_type_of_a_cloud_event_decides_the_meter(
    sender: TestClient, owner: psycopg.Connection, send: Any, event_type: str, data: object, meter: str
) -> None:
    assert send(sender, cloud_event(event_type, data)) == (204, [])
    found = "SELECT m.code FROM usage_event JOIN meter m USING (meter_id)"
    assert owner.execute(found).fetchall() == [(meter,)]
    assert send(sender, cloud_event(event_type, data)) == (204, [])


@pytest.mark.parametrize("send", [send_cloud_event, send_cloud_events])
def test_cloud_event_that_does_not_fit_its_meter(sender: TestClient, send: Any) -> None:
    assert send(sender, cloud_event("users", {})) == (422, [("invalid", "data.item")])
    assert send(sender, cloud_event("users", {"item": "ada", "value": 2})) == (
        422,
        [("invalid", "data.value")],
    )
    assert send(sender, cloud_event("calls", {"item": "ada", "value": 2})) == (
        422,
        [("invalid", "data.item")],
    )
    assert send(sender, cloud_event("calls", {})) == (422, [("invalid", "data")])


@pytest.mark.parametrize("send", [send_cloud_event, send_cloud_events])
def test_unknown_types_are_refused_when_the_default_meter_does_not_take_them(
    sender: TestClient, client: TestClient, send: Any
) -> None:
    known = cloud_event("anything else", {"value": 3})
    assert send(sender, known) == (204, [])
    assert client.patch("/api/v1/meters/usage", json={"takes_other_types": False}).status_code == 200
    unknown = cloud_event("anything else", {"value": 3}, id="2")
    assert send(sender, unknown) == (422, [("unknown_type", "type")])
    assert send(sender, cloud_event("usage", {"value": 3}, id="3")) == (204, [])
    # The meter of a type isn't compared, and what was recorded stays recorded.
    assert send(sender, known) == (204, [])
    assert send(sender, known | {"type": "calls"}) == (204, [])
    assert sender.post(USAGE, json=EVENT | {"quantity": 1}).status_code == 201


FILE = f"""customer,idempotency_key,quantity,occurred_at,item,meter
acme,a,2,{TIME},,calls
acme,b,,{TIME},ada,users
acme,c,3,{TIME},,
acme,d,1,,bob,users
acme,e,1,{TIME},,users
acme,f,1,{TIME},,missing
acme,short,1
"""


def test_file_names_meters_and_items(client: TestClient, database: Database) -> None:
    uploaded = upload(client, FILE)
    check_files(database)
    checked = get(client, uploaded)
    assert counts(checked) == ("checked", 7, 4, 0, 0, 3)
    assert checked["preview"][1]["row"] == ["acme", "b", "", TIME, "users", "ada"]
    client.post(f"{IMPORTS}/{uploaded['id']}/start")
    import_files(database)
    assert counts(get(client, uploaded)) == ("done", 7, 4, 0, 0, 3)
    found = {each["idempotency_key"]: each for each in client.get(USAGE).json()["items"]}
    assert {key: (each["meter"], each["item"], each["quantity"]) for key, each in found.items()} == {
        "a": ("calls", None, "2"),
        "b": ("users", "ada", "1"),
        "c": ("usage", None, "3"),
        "d": ("users", "bob", "1"),
    }
    rejected = client.get(f"{IMPORTS}/{uploaded['id']}/rejected-rows").json()["items"]
    assert [(each["line"], each["code"]) for each in rejected] == [
        (6, "invalid"), (7, "meter_not_found"), (8, "invalid"),
    ]  # fmt: skip
    again = client.get(f"{IMPORTS}/{uploaded['id']}/rejected-rows.csv").content.decode("utf-8-sig")
    assert (
        again.splitlines()[0] == "line,customer,idempotency_key,quantity,occurred_at,meter,item,code,detail"
    )
    corrected = upload(client, again.replace(",users,,", ",users,eve,").replace(",missing,,", ",calls,,"))
    check_files(database)
    assert counts(get(client, corrected)) == ("checked", 3, 2, 0, 0, 1)


def test_exported_usage_is_imported_as_duplicates(client: TestClient, database: Database) -> None:
    for body in ({"meter": "users", "item": "=ada"}, {"meter": "seats", "quantity": 7}, {"quantity": 1}):
        client.post(USAGE, json=EVENT | body | {"idempotency_key": str(body)})
    uploaded = upload(client, client.get(f"{USAGE}.csv").content)
    check_files(database)
    assert counts(get(client, uploaded)) == ("checked", 3, 0, 3, 0, 0)


@pytest.mark.parametrize("column", ["meter", "item"])
def test_file_may_have_either_column_alone(client: TestClient, database: Database, column: str) -> None:
    value = {"meter": "calls", "item": ""}[column]
    uploaded = upload(
        client, f"{column},customer,idempotency_key,quantity,occurred_at\n{value},acme,a,2,{TIME}\n"
    )
    check_files(database)
    client.post(f"{IMPORTS}/{uploaded['id']}/start")
    import_files(database)
    [found] = client.get(USAGE).json()["items"]
    assert (found["meter"], found["quantity"]) == (value or "usage", "2")


def test_rows_of_one_batch_are_independent(client: TestClient) -> None:
    events = [
        EVENT | {"idempotency_key": "a", "meter": "calls", "quantity": 1},
        EVENT | {"idempotency_key": "b", "quantity": 2},
        EVENT | {"idempotency_key": "c", "meter": "users", "item": "ada"},
        EVENT | {"idempotency_key": "a", "meter": "seats", "quantity": 1},
        EVENT | {"idempotency_key": "d", "meter": "missing", "quantity": 1},
        EVENT | {"idempotency_key": "c", "item": "ada"},
        EVENT | {"idempotency_key": "e", "event_type": "calls", "quantity": 1},
    ]
    body = client.post(f"{USAGE}/batch", json={"events": events}).json()
    assert [(row["index"], row["status"], row.get("detail")) for row in body["results"]] == [
        (3, "conflict", "idempotency_key was already used with a different meter or item."),
        (4, "rejected", "meter does not exist."),
        (5, "duplicate", None),
        (6, "rejected", "event_type is not a field of this request."),
    ]
    assert (body["recorded"], body["duplicates"], body["conflicts"], body["rejected"]) == (3, 1, 1, 2)


def test_fifty_senders_of_one_key_record_one_item(sender: TestClient, owner: psycopg.Connection) -> None:
    def send(number: int) -> str:
        return single(sender, EVENT | {"meter": "users", "item": "ada" if number % 2 else "bob"})[0]

    with ThreadPoolExecutor(50) as pool:
        outcomes = Counter(pool.map(send, range(50)))
    assert outcomes == {"recorded": 1, "duplicate": 24, "idempotency_conflict": 25}
    assert owner.execute("SELECT count(*) FROM usage_event").fetchone() == (1,)
