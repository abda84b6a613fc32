"""Rows of usage files over HTTP: quotes, control characters, numbers, and our own exports."""

from __future__ import annotations

import csv
import io

import pytest
from fastapi.testclient import TestClient

from billing_app.database.session import Database
from billing_app.domain.actor import Actor
from billing_app.jobs.usage_imports import check_files, import_files
from tests.api.usage_files import HEADER, IMPORTS, TIME, counts, get, upload
from tests.billing.shop import Shop


@pytest.fixture
def shop(database: Database, admin: Actor) -> Shop:
    shop = Shop(database, admin)
    shop.customer("acme", "2026-10")
    return shop


def test_stray_quote_rejects_its_row_and_no_other(shop: Shop, client: TestClient, database: Database) -> None:
    for key in ("beta", "gamma"):
        shop.customer(key, "2026-10")
    rows = f'acme,"k1,5,{TIME}\nbeta,k2,6,{TIME}\ngamma,"k3",7,{TIME}\n'
    uploaded = upload(client, HEADER + rows)
    check_files(database)
    assert counts(get(client, uploaded)) == ("checked", 3, 2, 0, 0, 1)
    [rejected] = client.get(f"{IMPORTS}/{uploaded['id']}/rejected-rows").json()["items"]
    assert rejected == {
        "line": 2, "row": [f'acme,"k1,5,{TIME}'], "status": "rejected", "code": "invalid",
        "detail": "row has an opening quote without a closing quote on the same line.",
    }  # fmt: skip
    client.post(f"{IMPORTS}/{uploaded['id']}/start")
    import_files(database)
    assert counts(get(client, uploaded)) == ("done", 3, 2, 0, 0, 1)
    # Importing the file of rejected rows unchanged rejects the row again.
    again = upload(client, client.get(f"{IMPORTS}/{uploaded['id']}/rejected-rows.csv").content)
    check_files(database)
    assert counts(get(client, again)) == ("checked", 1, 0, 0, 0, 1)


def test_key_with_a_control_character_is_rejected(shop: Shop, client: TestClient, database: Database) -> None:
    uploaded = upload(client, f'{HEADER}acme,"a\tb",1,{TIME}\nacme,a\x0bb,1,{TIME}\nacme,ab,1,{TIME}\n')
    check_files(database)
    assert counts(get(client, uploaded)) == ("checked", 3, 1, 0, 0, 2)


def test_preview_shows_how_numbers_and_times_are_understood(
    shop: Shop, client: TestClient, database: Database
) -> None:
    rows = 'acme,a,1.000,2026-11-10T01:00:00+01:00\nacme,b,"1,5",\nacme,c,007,\nacme,"d,1,\n'
    uploaded = upload(client, HEADER + rows)
    check_files(database)
    preview = get(client, uploaded)["preview"]
    assert [(row["quantity"], row["occurred_at"]) for row in preview] == [
        ("1", "2026-11-10T00:00:00Z"), (None, None), ("7", None), (None, None),
    ]  # fmt: skip


def test_exported_usage_is_imported_as_duplicates_only(
    shop: Shop, client: TestClient, database: Database
) -> None:
    keys = ["-42", "=k", "+1", "@a", "'", "''", "'a", "'=x", '"q"', "a,b", " =x", "caf\u00e9", "-"]
    events = [{"customer": "acme", "quantity": "1.5", "idempotency_key": key} for key in keys]
    assert client.post("/api/v1/usage/batch", json={"events": events}).json()["recorded"] == len(keys)
    exported = client.get("/api/v1/usage.csv").content
    rows = list(csv.reader(io.StringIO(exported.decode("utf-8-sig"), newline="")))
    text = io.StringIO(newline="")
    csv.writer(text).writerows(row[:4] for row in rows)
    for content in (exported, text.getvalue().encode()):
        uploaded = upload(client, content)
        check_files(database)
        assert counts(get(client, uploaded)) == ("checked", len(keys), 0, len(keys), 0, 0)
        client.post(f"{IMPORTS}/{uploaded['id']}/start")
        import_files(database)
        assert counts(get(client, uploaded)) == ("done", len(keys), 0, len(keys), 0, 0)


@pytest.mark.parametrize(
    ("header", "row"),
    [
        # One cell is missing, and what is left would be usage of `acme` in the usual order of columns.
        ("idempotency_key,customer,quantity,occurred_at,detail", f"acme,beta,5,{TIME}"),
        ("idempotency_key,customer,quantity,occurred_at,detail", f'acme,"be,ta",5,{TIME}'),
        ("customer,idempotency_key,quantity,occurred_at", f"acme,k1,5,{TIME},6"),
        ("customer,idempotency_key,quantity,occurred_at", "acme,k1,5"),
        ("customer,idempotency_key,quantity,occurred_at", f"acme,k1,5,{TIME},,,"),
    ],
)
def test_row_without_the_right_columns_is_never_taken_from_the_file_of_rejected_rows(
    shop: Shop, client: TestClient, database: Database, header: str, row: str
) -> None:
    shop.customer("beta", "2026-10")
    content: str | bytes = f"{header}\n{row}\n"
    for _ in range(3):
        uploaded = upload(client, content)
        check_files(database)
        assert counts(get(client, uploaded)) == ("checked", 1, 0, 0, 0, 1)
        content = client.get(f"{IMPORTS}/{uploaded['id']}/rejected-rows.csv").content


def test_bytes_of_rejected_rows_come_back_as_they_were(
    shop: Shop, client: TestClient, database: Database
) -> None:
    rows = [b"acme,caf\xe9,1,", b"acme,a\0b,1,", b"acme,'=x,-1,", b"acme,''y,-1,"]
    content = HEADER.encode() + b"\n".join(rows) + b"\n"
    kept = []
    for _ in range(2):
        uploaded = upload(client, content)
        check_files(database)
        assert counts(get(client, uploaded)) == ("checked", 4, 0, 0, 0, 4)
        content = client.get(f"{IMPORTS}/{uploaded['id']}/rejected-rows.csv").content
        kept.append([line.split(b",")[1:4] for line in content.splitlines()[1:]])
    assert kept[0] == kept[1]
    assert [row[1] for row in kept[0]] == [b"caf\xe9", b"a\0b", b"'=x", b"''y"]
