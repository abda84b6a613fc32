"""Imports over HTTP: uploaded, checked, started, cancelled, and their rejected rows corrected."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx import Response

from billing_app.database.session import Database
from billing_app.documents.csv_rows import BYTE_ORDER_MARK
from billing_app.domain.actor import SYSTEM, Actor, Role
from billing_app.jobs import usage_csv
from billing_app.jobs.usage_imports import check_files, import_files
from billing_app.models.imports import PART_BYTES_MAX
from billing_app.server.middleware import limits
from billing_app.services.identity import api_tokens
from tests.api.conftest import ClientOf
from tests.api.test_limits import CHUNKED, Asked, endless, pieces
from tests.billing.shop import Shop
from tests.billing.test_flights import FLIGHTS, open_accounts
from tests.conftest import Clock
from tests.state.loops import in_own_loop

IMPORTS = "/api/v1/usage/imports"
HEADER = "customer,idempotency_key,quantity,occurred_at\n"
TIME = "2026-11-10T00:00:00Z"
EVENTS = 45_000
CSV = {"Content-Type": "text/csv"}
GZIP = {"Content-Type": "application/gzip"}


@pytest.fixture
def shop(database: Database, admin: Actor) -> Shop:
    shop = Shop(database, admin)
    shop.customer("acme", "2026-10")
    return shop


def upload(client: TestClient, content: str | bytes, name: str = "november.csv") -> dict[str, Any]:
    data = content.encode() if isinstance(content, str) else content
    answer = client.post(IMPORTS, params={"file_name": name}, content=data, headers=CSV)
    assert answer.status_code == 202, answer.text
    found: dict[str, Any] = answer.json()
    return found


def get(client: TestClient, usage_import: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"{IMPORTS}/{usage_import['id']}").json()
    return found


def counts(answer: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(
        answer[name] for name in ("status", "rows", "recorded", "duplicates", "conflicts", "rejected")
    )


def count_stored(database: Database) -> tuple[int, int]:
    """Return the number of imports and the number of bytes of files."""
    with database.engine.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT (SELECT count(*) FROM usage_import),"
            " (SELECT coalesce(sum(octet_length(content)), 0) FROM usage_import_part)"
        ).one()
    return found[0], found[1]


def test_uploaded_file_becomes_events(shop: Shop, client: TestClient, database: Database) -> None:
    answer = client.post(
        IMPORTS,
        params={"file_name": "november.csv"},
        content=gzip.compress(f"{HEADER}acme,a,1,{TIME}\nnobody,b,1,{TIME}\n".encode()),
        headers=GZIP,
    )
    sent = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (202, f"{IMPORTS}/{sent['id']}")
    assert (sent["file_name"], sent["status"], sent["bytes_read"]) == ("november.csv", "checking", 0)
    check_files(database)
    checked = get(client, sent)
    assert counts(checked) == ("checked", 2, 1, 0, 0, 1)
    assert checked["preview"] == [
        {"line": 2, "row": ["acme", "a", "1", TIME], "quantity": "1", "occurred_at": TIME,
         "status": "recorded", "detail": None},
        {"line": 3, "row": ["nobody", "b", "1", TIME], "quantity": "1", "occurred_at": TIME,
         "status": "rejected", "detail": "customer does not exist."},
    ]  # fmt: skip
    assert client.get("/api/v1/usage").json()["items"] == []
    started = client.post(f"{IMPORTS}/{sent['id']}/start")
    assert (started.status_code, counts(started.json())) == (202, ("importing", 0, 0, 0, 0, 0))
    import_files(database)
    done = get(client, sent)
    assert (counts(done), done["bytes_read"]) == (("done", 2, 1, 0, 0, 1), done["size_bytes"])
    assert [each["idempotency_key"] for each in client.get("/api/v1/usage").json()["items"]] == ["a"]
    assert client.get(IMPORTS).json() == {"items": [done], "next_cursor": None}


def test_rejected_rows_are_corrected_and_imported_again(
    shop: Shop, client: TestClient, database: Database
) -> None:
    rows = f"=later,=1+1,-5,{TIME}\nacme,short,1\nacme,caf\udce9,1,{TIME}\nacme,a,1,{TIME}\nacme,a,2,\n"
    content = (HEADER + rows).encode("utf-8", "surrogateescape")
    sent = upload(client, content)
    check_files(database)
    listed = client.get(f"{IMPORTS}/{sent['id']}/rejected-rows", params={"limit": 3}).json()
    assert [each["line"] for each in listed["items"]] == [2, 3, 4]
    assert listed["items"][2]["row"][1] == "caf\ufffd"
    rest = {"limit": 3, "cursor": listed["next_cursor"]}
    assert client.get(f"{IMPORTS}/{sent['id']}/rejected-rows", params=rest).json()["items"] == [
        {"line": 6, "row": ["acme", "a", "2", ""], "status": "conflict", "code": "idempotency_conflict",
         "detail": "idempotency_key was already used with a different quantity or time."},
    ]  # fmt: skip
    answer = client.get(f"{IMPORTS}/{sent['id']}/rejected-rows.csv")
    assert answer.headers["content-disposition"] == f'attachment; filename="rejected-rows-{sent["id"]}.csv"'
    rejected_rows = answer.content.removeprefix(BYTE_ORDER_MARK)
    assert rejected_rows != answer.content
    assert rejected_rows.splitlines()[0] == b"line,customer,idempotency_key,quantity,occurred_at,code,detail"
    # A spreadsheet must not run a cell, and the import takes the apostrophes off again.
    assert rejected_rows.splitlines()[1].startswith(f"2,'=later,'=1+1,'-5,{TIME},".encode())
    # Imported unchanged, every row is what it was.
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
    sent = upload(client, HEADER)
    early = client.post(f"{IMPORTS}/{sent['id']}/start")
    assert (early.status_code, early.json()["code"]) == (409, "import_not_checked")
    assert client.post(f"{IMPORTS}/{sent['id']}/cancel").json()["status"] == "cancelled"
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
    sent = upload(client_of(Role.BILLING), HEADER)
    finance = client_of(Role.FINANCE)
    assert get(finance, sent)["id"] == sent["id"]
    assert finance.post(IMPORTS, content=HEADER, headers=CSV).status_code == 403
    meter = TestClient(api)
    with database.transaction(SYSTEM) as session:
        token = api_tokens.create_token(session, SYSTEM, name="Meter", scopes=["usage:write"]).token
    meter.headers["Authorization"] = f"Bearer {token}"
    assert upload(meter, HEADER)["uploaded_by"].startswith("tok_")
    assert meter.get(IMPORTS).status_code == 403
    assert count_stored(database)[0] == 2


def problem(answer: Response) -> dict[str, Any]:
    """Return the refusal with the import that it names replaced, to compare those of two imports."""
    found: dict[str, Any] = answer.json()
    named = found.pop("named")
    return {**found, "status_code": answer.status_code, "detail": found["detail"].replace(named, "imp_N")}


class TestScopeOfTokens:
    """A token that may only record usage acts on the imports that it uploaded and learns of no other."""

    @pytest.fixture
    def tokens(self, shop: Shop, api: FastAPI, database: Database) -> list[TestClient]:
        clients = []
        for name in ("Meter", "Other meter"):
            with database.transaction(SYSTEM) as session:
                token = api_tokens.create_token(session, SYSTEM, name=name, scopes=["usage:write"]).token
            clients.append(TestClient(api, headers={"Authorization": f"Bearer {token}"}))
        return clients

    @pytest.mark.parametrize("action", ["start", "cancel"])
    def test_import_of_another_is_answered_as_one_that_does_not_exist(
        self, client: TestClient, tokens: list[TestClient], database: Database, action: str
    ) -> None:
        meter, other_meter = tokens
        uploads = [upload(client, HEADER), upload(other_meter, HEADER)]
        check_files(database)
        unknown = problem(meter.post(f"{IMPORTS}/imp_999999/{action}"))
        assert (unknown["status_code"], unknown["code"]) == (404, "import_not_found")
        for each in uploads:
            assert problem(meter.post(f"{IMPORTS}/{each['id']}/{action}")) == unknown
            assert get(client, each)["status"] == "checked"
        import_files(database)
        assert {get(client, each)["status"] for each in uploads} == {"checked"}

    def test_own_import_is_started_and_cancelled(
        self, client: TestClient, tokens: list[TestClient], database: Database
    ) -> None:
        content = f"{HEADER}acme,a,1,{TIME}\n"
        first, second = upload(tokens[0], content), upload(tokens[0], content)
        check_files(database)
        assert tokens[0].post(f"{IMPORTS}/{first['id']}/start").json()["status"] == "importing"
        assert tokens[0].post(f"{IMPORTS}/{second['id']}/cancel").json()["status"] == "cancelled"

    def test_reading_is_forbidden_whether_the_import_exists_or_not(
        self, client: TestClient, tokens: list[TestClient]
    ) -> None:
        own = upload(tokens[0], HEADER)
        for path in ("", "/rejected-rows", "/rejected-rows.csv"):
            answers = [
                tokens[0].get(f"{IMPORTS}/{name}{path}") for name in (own["id"], "imp_999999", "nothing")
            ]
            assert [answer.status_code for answer in answers] == [403, 403, 403]
            assert answers[0].json() == answers[1].json() == answers[2].json()
        assert tokens[0].get(IMPORTS).status_code == 403

    def test_other_imports_are_not_named(
        self, client: TestClient, tokens: list[TestClient], database: Database
    ) -> None:
        content = f"{HEADER}acme,a,1,{TIME}\n"
        first = upload(client, content)
        check_files(database)
        client.post(f"{IMPORTS}/{first['id']}/start")
        import_files(database)
        upload(client, HEADER)
        same = upload(tokens[0], content)
        assert (same["same_as"], same["same_as_finished_at"], same["waits_for"]) == (None, None, None)
        found = get(client, same)
        assert found["same_as"] == first["id"]
        assert found["waits_for"] is not None

    def test_token_that_may_read_as_well_starts_any_import(
        self, client: TestClient, api: FastAPI, database: Database
    ) -> None:
        uploaded = upload(client, HEADER)
        check_files(database)
        with database.transaction(SYSTEM) as session:
            token = api_tokens.create_token(
                session, SYSTEM, name="Both", scopes=["usage:write", "read"]
            ).token
        both = TestClient(api, headers={"Authorization": f"Bearer {token}"})
        assert both.post(f"{IMPORTS}/{uploaded['id']}/start").status_code == 202


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
    # The rejected row is still rejected when the file of rejected rows is imported unchanged.
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


class TestStreaming:
    """The body arrives piece by piece, sent to the application by ASGI directly."""

    @pytest.fixture
    def head(self, client: TestClient) -> tuple[tuple[str, str], ...]:
        return (
            ("content-type", "text/csv"),
            ("authorization", client.headers["authorization"]),
            CHUNKED,
        )

    async def ask(self, api: FastAPI, receive: Any, head: tuple[tuple[str, str], ...]) -> Asked:
        async def there(scope: Any, receive: Any, send: Any) -> None:
            await api({**scope, "path": IMPORTS, "raw_path": IMPORTS.encode()}, receive, send)

        return await Asked().ask(there, receive, *head)

    @in_own_loop
    async def test_file_may_be_larger_than_other_bodies(
        self, api: FastAPI, head: Any, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "BODY_BYTES_MAX", 1000)
        monkeypatch.setattr(limits, "BODIES_BYTES_MAX", 1000)
        sent = await self.ask(api, pieces(*[bytes(300_000)] * 10), head)
        assert (sent.status, count_stored(database)) == (202, (1, 3_000_000))

    @in_own_loop
    async def test_no_more_is_read_than_is_stored(
        self, api: FastAPI, head: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from billing_app.services.usage_imports import files as usage_import_files

        split, ahead, received = usage_import_files._split_into_parts, [], 0

        def watched(given: Iterator[bytes]) -> Iterator[bytes]:
            kept = 0
            for part in split(given):
                kept += len(part)
                yield part
                ahead.append(received - kept)

        async def counted() -> Any:
            nonlocal received
            received += 300_000
            return {"type": "http.request", "body": bytes(300_000), "more_body": received < 9_000_000}

        monkeypatch.setattr(usage_import_files, "_split_into_parts", watched)
        assert (await self.ask(api, counted, head)).status == 202
        assert len(ahead) == 9
        assert max(ahead) < PART_BYTES_MAX

    @in_own_loop
    async def test_upload_that_stalls_leaves_nothing(
        self, api: FastAPI, head: Any, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "PIECE_SECONDS_MAX", 0.05)
        sent = await self.ask(api, pieces(bytes(2_000_000), ends=False), head)
        assert (sent.status, sent.code, count_stored(database)) == (408, "request_timeout", (0, 0))

    @in_own_loop
    async def test_client_that_disconnects_leaves_nothing(
        self, api: FastAPI, head: Any, database: Database, caplog: pytest.LogCaptureFixture
    ) -> None:
        messages = [
            {"type": "http.request", "body": bytes(2_000_000), "more_body": True},
            {"type": "http.disconnect"},
        ]

        async def gone() -> dict[str, Any]:
            return messages.pop(0)

        sent = await self.ask(api, gone, head)
        assert (sent.status, count_stored(database), caplog.records) == (400, (0, 0), [])
        assert database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]

    @in_own_loop
    async def test_file_without_end_is_refused(
        self, api: FastAPI, head: Any, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "FILE_BYTES_MAX", 3_000_000)
        sent = await self.ask(api, endless(bytes(1_000_000)), head)
        assert (sent.status, sent.code, sent.read, count_stored(database)) == (
            413,
            "too_large",
            4_000_000,
            (0, 0),
        )

    @in_own_loop
    async def test_unauthenticated_upload_is_refused_before_a_byte_is_read(
        self, api: FastAPI, database: Database
    ) -> None:
        sent = await self.ask(api, endless(b"x"), (("content-type", "text/csv"), CHUNKED))
        assert (sent.status, sent.read, count_stored(database)) == (401, 0, (0, 0))


def test_real_flights_are_imported_once(client_of: ClientOf, database: Database, clock: Clock) -> None:
    clock.set(2014, 2)
    client = client_of(Role.BILLING)
    open_accounts(database)
    with gzip.open(FLIGHTS) as source:
        flights = gzip.compress(b"".join(itertools.islice(source, 1 + EVENTS)))
    sent = upload(client, flights)
    check_files(database)
    assert counts(get(client, sent)) == ("checked", EVENTS, EVENTS, 0, 0, 0)
    client.post(f"{IMPORTS}/{sent['id']}/start")
    progress: list[int] = []
    import_files(database, lambda chunk: progress.append(get(client, sent)["bytes_read"]))
    done = get(client, sent)
    assert counts(done) == ("done", EVENTS, EVENTS, 0, 0, 0)
    assert len(progress) == -(-EVENTS // usage_csv.BATCH_MAX)
    assert progress == sorted(progress)
    assert 0 < progress[0] < progress[len(progress) // 2] < progress[-1] <= done["size_bytes"]
    again = upload(client, flights)
    check_files(database)
    assert counts(get(client, again)) == ("checked", EVENTS, 0, EVENTS, 0, 0)
    assert get(client, again)["same_as"] == sent["id"]


def test_rejected_rows_file_has_every_row(
    shop: Shop, client: TestClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    from billing_app.services.usage_imports import rejected_rows

    monkeypatch.setattr(rejected_rows, "CHUNK_ROWS", 7)
    sent = upload(client, HEADER + "".join(f"nobody,k{number},1,\n" for number in range(100)))
    check_files(database)
    content = client.get(f"{IMPORTS}/{sent['id']}/rejected-rows.csv").content
    assert [row["idempotency_key"] for row in csv.DictReader(io.StringIO(content.decode("utf-8-sig")))] == [
        f"k{number}" for number in range(100)
    ]
