"""Files of corrections over HTTP: checked, recorded once, and their rejected rows imported again."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from billing_app.database.session import Database
from billing_app.documents.csv_rows import BYTE_ORDER_MARK
from billing_app.domain.actor import SYSTEM, Actor, Role
from billing_app.jobs.usage_imports import check_files, import_files
from billing_app.services.identity.api_tokens import create_token
from tests.api.conftest import ClientOf
from tests.api.usage_files import CSV, IMPORTS, counts, get
from tests.billing.shop import Shop

HEADER = "customer,idempotency_key,quantity,reason,correction_key\n"
ROWS = (
    'acme,a,1030,"Counted twice, again",fix 1\nacme,a,900,recount,fix 2\nacme,a,900,same,fix 3\nacme,a,1\n'
    "acme,b,1,unknown,fix 4\nacme,a,900,other,fix 1\n"
)


@pytest.fixture
def shop(database: Database, admin: Actor) -> Shop:
    shop = Shop(database, admin)
    shop.customer("acme", "2026-10")
    shop.use("acme", "a", 1530, "2026-10-15T10:00:00Z")
    return shop


def upload(client: TestClient, content: str | bytes, kind: str = "corrections") -> dict[str, Any]:
    data = content.encode() if isinstance(content, str) else content
    answer = client.post(IMPORTS, params={"kind": kind, "file_name": "fixes.csv"}, content=data, headers=CSV)
    assert answer.status_code == 202, answer.text
    found: dict[str, Any] = answer.json()
    return found


def import_whole(client: TestClient, database: Database, content: str | bytes) -> dict[str, Any]:
    uploaded = upload(client, content)
    check_files(database)
    assert client.post(f"{IMPORTS}/{uploaded['id']}/start").status_code == 202
    import_files(database)
    return get(client, uploaded)


def test_file_is_checked_and_recorded_once(
    shop: Shop, client: TestClient, database: Database, owner: psycopg.Connection
) -> None:
    uploaded = upload(client, HEADER + ROWS)
    assert uploaded["kind"] == "corrections"
    check_files(database)
    checked = get(client, uploaded)
    assert counts(checked) == ("checked", 6, 2, 0, 1, 3)
    assert owner.execute("SELECT count(*) FROM usage_correction").fetchone() == (0,)
    assert [(each["line"], each["status"]) for each in checked["preview"]] == [
        (2, "recorded"), (3, "recorded"), (4, "rejected"), (5, "rejected"), (6, "rejected"), (7, "conflict"),
    ]  # fmt: skip
    assert checked["preview"][0]["row"] == ["acme", "a", "1030", "Counted twice, again", "fix 1"]
    assert (checked["preview"][0]["quantity"], checked["preview"][0]["occurred_at"]) == ("1030", None)
    client.post(f"{IMPORTS}/{uploaded['id']}/start")
    import_files(database)
    assert counts(get(client, uploaded)) == ("done", 6, 2, 0, 1, 3)
    again = import_whole(client, database, HEADER + ROWS)
    assert counts(again) == ("done", 6, 0, 2, 1, 3)
    assert again["same_as"] == uploaded["id"]
    found = owner.execute("SELECT number, quantity, reason, recorded_by FROM usage_correction ORDER BY 1")
    assert found.fetchall() == [
        (1, 1030, "Counted twice, again", uploaded["id"]), (2, 900, "recount", uploaded["id"]),
    ]  # fmt: skip
    entries = owner.execute(
        "SELECT details, on_behalf_of FROM audit_entry WHERE action = 'usage.corrections_recorded'"
    ).fetchall()
    assert [(details["recorded"], details["differences"], by) for details, by in entries] == [
        (2, "usage -630", uploaded["uploaded_by"])
    ]


def test_rejected_rows_are_a_file_that_can_be_imported_again(
    shop: Shop, client: TestClient, database: Database
) -> None:
    done = import_whole(client, database, HEADER + ROWS + "=acme,a,5,x,fix 5\n")
    path = f"{IMPORTS}/{done['id']}/rejected-rows"
    listed = client.get(path).json()["items"]
    assert [(each["line"], each["status"], each["code"]) for each in listed] == [
        (4, "rejected", "nothing_to_correct"), (5, "rejected", "invalid"), (6, "rejected", "event_not_found"),
        (7, "conflict", "idempotency_conflict"), (8, "rejected", "customer_not_found"),
    ]  # fmt: skip
    content = client.get(f"{path}.csv").content
    lines = content.removeprefix(BYTE_ORDER_MARK).decode().splitlines()
    assert lines[0] == "line,customer,idempotency_key,quantity,reason,correction_key,code,detail"
    assert lines[5].startswith("8,'=acme,a,5,x,fix 5,customer_not_found,")
    again = import_whole(client, database, content.replace(b"'=acme", b"acme"))
    assert counts(again)[1:3] == (5, 1)


def test_files_of_the_other_kind_fail(shop: Shop, client: TestClient, database: Database) -> None:
    wrong = [
        upload(client, HEADER + ROWS, "usage"),
        upload(client, "customer,idempotency_key,quantity,occurred_at\n"),
    ]
    check_files(database)
    faults = [get(client, each) for each in wrong]
    assert [each["status"] for each in faults] == ["failed", "failed"]
    assert "occurred_at" in faults[0]["fault"]
    assert "correction_key" in faults[1]["fault"]
    unknown = client.post(IMPORTS, params={"kind": "other"}, content=b"", headers=CSV)
    assert (unknown.status_code, unknown.json()["errors"][0]["field"]) == (422, "kind")


def test_tokens_import_only_what_their_scopes_allow(
    shop: Shop, client: TestClient, client_of: ClientOf, api: FastAPI, database: Database
) -> None:
    def token_client(*scopes: str) -> TestClient:
        with database.transaction(SYSTEM) as session:
            token = create_token(session, SYSTEM, name="a token", scopes=list(scopes)).token
        return TestClient(api, headers={"Authorization": f"Bearer {token}"})

    corrector, meter = token_client("usage:correct"), token_client("usage:write")
    readers = [token_client("usage:write", "read"), token_client("usage:correct", "read")]
    for refused, kind in (
        (corrector, "usage"),
        (meter, "corrections"),
        (client_of(Role.FINANCE), "corrections"),
    ):
        answer = refused.post(IMPORTS, params={"kind": kind}, content=HEADER.encode(), headers=CSV)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    own = upload(corrector, HEADER + ROWS)
    usage = upload(client, "customer,idempotency_key,quantity,occurred_at\n", "usage")
    check_files(database)
    for action in ("start", "cancel"):
        assert meter.post(f"{IMPORTS}/{own['id']}/{action}").status_code == 404
        assert readers[0].post(f"{IMPORTS}/{own['id']}/{action}").status_code == 403
        assert readers[1].post(f"{IMPORTS}/{usage['id']}/{action}").status_code == 403
        assert client_of(Role.FINANCE).post(f"{IMPORTS}/{own['id']}/{action}").status_code == 403
    assert corrector.post(f"{IMPORTS}/{own['id']}/start").json()["status"] == "importing"
    assert readers[1].post(f"{IMPORTS}/{own['id']}/cancel").json()["status"] == "cancelled"
