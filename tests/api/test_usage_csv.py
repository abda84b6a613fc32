"""The usage log over HTTP, in pages and as a CSV file."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import date
from typing import Any

import anyio
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text
from starlette.requests import ClientDisconnect

from billing_app.api.wire.calls import Call
from billing_app.api.wire.csv_files import CsvFile, csv_file
from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM, Actor, Role
from billing_app.services.usage import export as usage_export
from billing_app.services.usage.recording import UsageReport, record_usage_batch
from tests.api.conftest import ClientOf
from tests.conftest import Clock
from tests.factories import make_customer, make_invoice, record
from tests.loops import in_a_loop
from tests.refusals import refused

PATH = "/api/v1/usage.csv"
COLUMNS = [
    "customer", "idempotency_key", "quantity", "occurred_at", "meter", "item", "recorded_at", "billing_period",
    "recorded_by",
]  # fmt: skip


def fill(database: Database, count: int, customer: str = "acme") -> None:
    reports = [
        UsageReport(customer, f"key-{number:05d}", number, "2026-11-10T00:00:00Z") for number in range(count)
    ]
    database.call(SYSTEM, record_usage_batch, reports)


def rows_of(client: TestClient, **filters: str) -> list[list[str]]:
    answer = client.get(PATH, params=filters)
    assert answer.status_code == 200, answer.text
    return list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"), newline="")))


def test_export_has_all_columns_of_every_event(client: TestClient, database: Database) -> None:
    make_customer(database, key="acme")
    fill(database, 3)
    answer = client.get(PATH, params={"customer": "acme", "period": "2026-11"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="usage-acme-2026-11.csv"'
    assert answer.content.startswith(b"\xef\xbb\xbfcustomer,")
    assert answer.content.decode("utf-8-sig").splitlines()[:2] == [
        ",".join(COLUMNS),
        "acme,key-00000,0,2026-11-10T00:00:00Z,usage,,2026-11-15T12:00:00Z,2026-11,system",
    ]
    assert len(answer.text.splitlines()) == 4


def test_export_and_list_use_the_same_filter(client: TestClient, database: Database, clock: Clock) -> None:
    acme = make_customer(database, key="acme", start=date(2026, 10, 1))
    other = make_customer(database, key="other", start=date(2026, 10, 1))
    record(database, acme, 1, "2026-10-05T00:00:00Z")
    record(database, other, 2, "2026-10-06T00:00:00Z")
    make_invoice(database, acme, date(2026, 10, 1))
    record(database, acme, 3, "2026-10-31T00:00:00Z")
    record(database, acme, 4, "2026-11-01T00:00:00Z")

    def quantities(**filters: str) -> list[str]:
        as_file = sorted(row[2] for row in rows_of(client, **filters)[1:])
        listed = client.get("/api/v1/usage", params=filters).json()["items"]
        assert as_file == sorted(each["quantity"] for each in listed)
        return as_file

    assert quantities() == ["1", "2", "3", "4"]
    assert quantities(customer="ACME") == ["1", "3", "4"]
    assert quantities(customer=other.public_id) == ["2"]
    assert quantities(period="2026-10") == ["1", "2", "3"]
    assert quantities(billing_period="2026-11") == ["3", "4"]
    assert quantities(customer="acme", period="2026-10", billing_period="2026-11") == ["3"]
    assert quantities(period="2025-01") == []
    assert quantities(late="true") == ["3"]
    assert quantities(late="true", customer="other") == []


def test_log_is_paged_newest_first(client: TestClient, database: Database) -> None:
    acme = make_customer(database, key="acme")
    for day in range(1, 6):
        record(database, acme, day, f"2026-11-0{day}T00:00:00Z")
    found: list[str] = []
    cursor = None
    while True:
        page = client.get(
            "/api/v1/usage", params={"limit": 2, **({"cursor": cursor} if cursor else {})}
        ).json()
        found += [each["quantity"] for each in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert found == ["5", "4", "3", "2", "1"]


def test_export_is_refused_before_the_first_byte(client: TestClient, api: Any, database: Database) -> None:
    for path in (PATH, "/api/v1/usage"):
        unknown = client.get(path, params={"customer": "missing"})
        assert (unknown.status_code, unknown.json()["code"]) == (404, "customer_not_found")
        for filters in ({"period": "2026-13"}, {"billing_period": "november"}):
            assert client.get(path, params=filters).json()["code"] == "invalid"
    without_role = Call(Actor("user", "usr_9", "none", None))
    with refused("forbidden"):
        csv_file(without_role, "usage.csv", COLUMNS, tuple, usage_export.read_usage)
    assert database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


@pytest.mark.parametrize("start", ["=", "+", "-", "@"])
def test_formula_is_escaped_for_spreadsheets(client: TestClient, database: Database, start: str) -> None:
    make_customer(database, key="acme")
    key = f'{start}1+"a",b'
    client.post("/api/v1/usage", json={"customer": "acme", "quantity": 1, "idempotency_key": key})
    assert rows_of(client)[1][1] == f"'{key}"


def test_finance_user_can_export(client_of: ClientOf, database: Database) -> None:
    make_customer(database, key="acme")
    fill(database, 1)
    assert len(rows_of(client_of(Role.FINANCE))) == 2


def test_export_spans_many_chunks(
    client: TestClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage_export, "CHUNK_ROWS", 7)
    make_customer(database, key="acme")
    fill(database, 100)
    assert [row[1] for row in rows_of(client)[1:]] == [f"key-{number:05d}" for number in range(100)]


@pytest.fixture
def watched(database: Database, api: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Return a list that gets the number of rows of each chunk when it is fetched."""
    monkeypatch.setattr(usage_export, "CHUNK_ROWS", 10)
    make_customer(database, key="acme")
    fill(database, 1_000)
    fetched: list[int] = []
    read = usage_export.read_usage

    def counted(*args: Any, **kwargs: Any) -> Iterator[Any]:
        chunks = read(*args, **kwargs)

        def count() -> Iterator[Any]:
            for chunk in chunks:
                fetched.append(len(chunk))
                yield chunk

        return count()

    monkeypatch.setattr(usage_export, "read_usage", counted)
    yield fetched
    assert database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


def send(response: CsvFile, *, until: int, fetched: list[int]) -> list[int]:
    """Receive `until` parts of the file, then disconnect. Return how many rows were fetched at each part."""
    ahead: list[int] = []

    async def take(message: Any) -> None:
        if message["type"] == "http.response.body":
            if len(ahead) == until:
                raise OSError("gone")
            ahead.append(sum(fetched))

    async def wait() -> Any:
        await anyio.sleep_forever()

    async def run() -> None:
        await response({"type": "http", "asgi": {"spec_version": "2.4"}}, wait, take)

    with pytest.raises(ClientDisconnect):
        in_a_loop(run())
    return ahead


def test_export_fetches_one_chunk_ahead_of_the_client(watched: list[int], admin: Actor) -> None:
    response = csv_file(Call(admin), "usage.csv", COLUMNS, tuple, usage_export.read_usage)
    assert send(response, until=20, fetched=watched) == [10 * number for number in range(20)]
    assert len(watched) <= 21


@pytest.mark.parametrize("disconnect", ["by message", "by cancellation"])
def test_connection_is_returned_when_the_client_disconnects(
    watched: list[int], admin: Actor, database: Database, disconnect: str
) -> None:
    response = csv_file(Call(admin), "usage.csv", COLUMNS, tuple, usage_export.read_usage)
    assert database.engine.pool.checkedout() == 1  # type: ignore[attr-defined]

    async def run() -> None:
        with anyio.CancelScope() as scope:

            async def receive() -> Any:
                if disconnect == "by cancellation":
                    await anyio.sleep_forever()
                return {"type": "http.disconnect"}

            async def send_nothing(message: Any) -> None:
                if disconnect == "by cancellation":
                    scope.cancel()
                await anyio.sleep_forever()

            await response({"type": "http", "asgi": {"spec_version": "2.0"}}, receive, send_nothing)

    in_a_loop(run())
    assert database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


def test_export_reads_through_a_cursor_in_the_database(
    watched: list[int], admin: Actor, database: Database
) -> None:
    query = text("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'FETCH FORWARD 10 FROM%'")
    response = csv_file(Call(admin), "usage.csv", COLUMNS, tuple, usage_export.read_usage)
    fetching: set[int] = set()

    async def look(message: Any) -> None:
        if watched:
            with database.engine.connect() as connection:
                fetching.add(connection.execute(query).scalar_one())

    async def run() -> None:
        await response({"type": "http", "asgi": {"spec_version": "2.4"}}, None, look)

    in_a_loop(run())
    assert 1 in fetching


def test_export_is_one_snapshot(watched: list[int], admin: Actor, database: Database) -> None:
    response = csv_file(Call(admin), "usage.csv", COLUMNS, tuple, usage_export.read_usage)
    body: list[bytes] = []

    async def take(message: Any) -> None:
        if not body:
            fill(database, 2_000)
        body.append(message.get("body", b""))

    async def run() -> None:
        await response({"type": "http", "asgi": {"spec_version": "2.4"}}, None, take)

    in_a_loop(run())
    assert b"".join(body).count(b"\n") == 1_001
