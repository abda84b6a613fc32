"""Imports over HTTP: uploaded, checked, started, cancelled, and their rejected rows corrected."""

from __future__ import annotations

import csv
import gzip
import io
import itertools

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from billing_app.database.session import Database
from billing_app.documents.csv_rows import BYTE_ORDER_MARK
from billing_app.domain.actor import SYSTEM, Actor, Role
from billing_app.jobs import usage_csv
from billing_app.jobs.usage_imports import check_files, import_files
from billing_app.services.identity import api_tokens
from tests.api.conftest import ClientOf
from tests.api.usage_files import CSV, GZIP, HEADER, IMPORTS, TIME, count_stored, counts, get, upload
from tests.billing.shop import Shop
from tests.billing.test_flights import FLIGHTS, open_accounts
from tests.conftest import Clock

EVENTS = 45_000


@pytest.fixture
def shop(database: Database, admin: Actor) -> Shop:
    shop = Shop(database, admin)
    shop.customer("acme", "2026-10")
    return shop


def test_uploaded_file_becomes_events(shop: Shop, client: TestClient, database: Database) -> None:
    answer = client.post(
        IMPORTS,
        params={"file_name": "november.csv"},
        content=gzip.compress(f"{HEADER}acme,a,1,{TIME}\nmissing,b,1,{TIME}\n".encode()),
        headers=GZIP,
    )
    uploaded = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (202, f"{IMPORTS}/{uploaded['id']}")
    assert (uploaded["file_name"], uploaded["status"], uploaded["bytes_read"]) == (
        "november.csv",
        "checking",
        0,
    )
    check_files(database)
    checked = get(client, uploaded)
    assert counts(checked) == ("checked", 2, 1, 0, 0, 1)
    assert checked["preview"] == [
        {"line": 2, "row": ["acme", "a", "1", TIME], "quantity": "1", "occurred_at": TIME,
         "status": "recorded", "detail": None},
        {"line": 3, "row": ["missing", "b", "1", TIME], "quantity": "1", "occurred_at": TIME,
         "status": "rejected", "detail": "customer does not exist."},
    ]  # fmt: skip
    assert client.get("/api/v1/usage").json()["items"] == []
    started = client.post(f"{IMPORTS}/{uploaded['id']}/start")
    assert (started.status_code, counts(started.json())) == (202, ("importing", 0, 0, 0, 0, 0))
    import_files(database)
    done = get(client, uploaded)
    assert (counts(done), done["bytes_read"]) == (("done", 2, 1, 0, 0, 1), done["size_bytes"])
    assert [each["idempotency_key"] for each in client.get("/api/v1/usage").json()["items"]] == ["a"]
    assert client.get(IMPORTS).json() == {"items": [done], "next_cursor": None}


def test_rejected_rows_are_corrected_and_imported_again(
    shop: Shop, client: TestClient, database: Database
) -> None:
    rows = f"=later,=1+1,-5,{TIME}\nacme,short,1\nacme,caf\udce9,1,{TIME}\nacme,a,1,{TIME}\nacme,a,2,\n"
    content = (HEADER + rows).encode("utf-8", "surrogateescape")
    uploaded = upload(client, content)
    check_files(database)
    listed = client.get(f"{IMPORTS}/{uploaded['id']}/rejected-rows", params={"limit": 3}).json()
    assert [each["line"] for each in listed["items"]] == [2, 3, 4]
    assert listed["items"][2]["row"][1] == "caf\ufffd"
    rest = {"limit": 3, "cursor": listed["next_cursor"]}
    assert client.get(f"{IMPORTS}/{uploaded['id']}/rejected-rows", params=rest).json()["items"] == [
        {"line": 6, "row": ["acme", "a", "2", ""], "status": "conflict", "code": "idempotency_conflict",
         "detail": "idempotency_key was already used with a different quantity or time."},
    ]  # fmt: skip
    answer = client.get(f"{IMPORTS}/{uploaded['id']}/rejected-rows.csv")
    assert (
        answer.headers["content-disposition"] == f'attachment; filename="rejected-rows-{uploaded["id"]}.csv"'
    )
    rejected_rows = answer.content.removeprefix(BYTE_ORDER_MARK)
    assert rejected_rows != answer.content
    assert rejected_rows.splitlines()[0] == b"line,customer,idempotency_key,quantity,occurred_at,code,detail"
    # A spreadsheet must not run a cell, and the import removes the apostrophes.
    assert rejected_rows.splitlines()[1].startswith(f"2,'=later,'=1+1,'-5,{TIME},".encode())
    # Importing the file unchanged gives the same result for every row.
    again = upload(client, answer.content)
    check_files(database)
    assert counts(get(client, again)) == ("checked", 4, 1, 0, 0, 3)
    corrected = (
        rejected_rows.replace(b"'=later", b"acme").replace(b"'-5", b"5").replace(b"caf\xe9", b"caf\xc3\xa9")
    )
    corrected = corrected.replace(b"acme,short,1,", f"acme,short,1,{TIME},".encode())
    last = upload(client, corrected)
    check_files(database)
    client.post(f"{IMPORTS}/{last['id']}/start")
    import_files(database)
    assert counts(get(client, last)) == ("done", 4, 4, 0, 0, 0)
    keys = {each["idempotency_key"] for each in client.get("/api/v1/usage").json()["items"]}
    assert keys == {"=1+1", "short", "caf\xe9", "a"}


def test_uploads_and_imports_that_are_refused(shop: Shop, client: TestClient, database: Database) -> None:
    uploaded = upload(client, HEADER)
    early = client.post(f"{IMPORTS}/{uploaded['id']}/start")
    assert (early.status_code, early.json()["code"]) == (409, "import_not_checked")
    assert client.post(f"{IMPORTS}/{uploaded['id']}/cancel").json()["status"] == "cancelled"
    for path in ("", "/rejected-rows", "/rejected-rows.csv"):
        for name in ("imp_999", "nothing"):
            unknown = client.get(f"{IMPORTS}/{name}{path}")
            assert (unknown.status_code, unknown.json()["code"]) == (404, "import_not_found")
    for name in ("", " ", "a\nb", "x" * 256):
        refusal = client.post(IMPORTS, params={"file_name": name}, content=b"", headers=CSV)
        assert (refusal.status_code, refusal.json()["errors"][0]["field"]) == (422, "file_name")
    wrong = client.post(IMPORTS, json={})
    assert (wrong.status_code, wrong.json()["code"]) == (415, "unsupported_media_type")
    elsewhere = client.post("/api/v1/usage/batch", content=HEADER, headers=CSV)
    assert elsewhere.status_code == 415
    assert count_stored(database) == (1, 0)


def test_finance_user_reads_and_token_uploads(
    shop: Shop, client_of: ClientOf, api: FastAPI, database: Database
) -> None:
    uploaded = upload(client_of(Role.BILLING), HEADER)
    finance = client_of(Role.FINANCE)
    assert get(finance, uploaded)["id"] == uploaded["id"]
    assert finance.post(IMPORTS, content=HEADER, headers=CSV).status_code == 403
    meter = TestClient(api)
    with database.transaction(SYSTEM) as session:
        token = api_tokens.create_token(session, SYSTEM, name="Meter", scopes=["usage:write"]).token
    meter.headers["Authorization"] = f"Bearer {token}"
    assert upload(meter, HEADER)["uploaded_by"].startswith("tok_")
    assert meter.get(IMPORTS).status_code == 403
    assert count_stored(database)[0] == 2


def test_real_flights_are_imported_once(client_of: ClientOf, database: Database, clock: Clock) -> None:
    clock.set(2014, 2)
    client = client_of(Role.BILLING)
    open_accounts(database)
    with gzip.open(FLIGHTS) as source:
        flights = gzip.compress(b"".join(itertools.islice(source, 1 + EVENTS)))
    uploaded = upload(client, flights)
    check_files(database)
    assert counts(get(client, uploaded)) == ("checked", EVENTS, EVENTS, 0, 0, 0)
    client.post(f"{IMPORTS}/{uploaded['id']}/start")
    progress: list[int] = []
    import_files(database, lambda chunk: progress.append(get(client, uploaded)["bytes_read"]))
    done = get(client, uploaded)
    assert counts(done) == ("done", EVENTS, EVENTS, 0, 0, 0)
    assert len(progress) == -(-EVENTS // usage_csv.BATCH_MAX)
    assert progress == sorted(progress)
    assert 0 < progress[0] < progress[len(progress) // 2] < progress[-1] <= done["size_bytes"]
    again = upload(client, flights)
    check_files(database)
    assert counts(get(client, again)) == ("checked", EVENTS, 0, EVENTS, 0, 0)
    assert get(client, again)["same_as"] == uploaded["id"]


def test_rejected_rows_file_has_every_row(
    shop: Shop, client: TestClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    from billing_app.services.usage_imports import rejected_rows

    monkeypatch.setattr(rejected_rows, "CHUNK_ROWS", 7)
    uploaded = upload(client, HEADER + "".join(f"missing,k{number},1,\n" for number in range(100)))
    check_files(database)
    content = client.get(f"{IMPORTS}/{uploaded['id']}/rejected-rows.csv").content
    assert [row["idempotency_key"] for row in csv.DictReader(io.StringIO(content.decode("utf-8-sig")))] == [
        f"k{number}" for number in range(100)
    ]
