"""Files of usage over HTTP: sent in, checked, started, looked at, mended."""

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

from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM, Actor, Role
from billing_app.jobs import usage_csv
from billing_app.jobs.usage_imports import go_on_checking, go_on_importing
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
MOMENT = "2026-11-10T00:00:00Z"
EVENTS = 45_000
CSV = {"Content-Type": "text/csv"}
GZIP = {"Content-Type": "application/gzip"}


@pytest.fixture
def shop(database: Database, admin: Actor) -> Shop:
    shop = Shop(database, admin)
    shop.customer("acme", "2026-10")
    return shop


def send(client: TestClient, content: str | bytes, name: str = "november.csv") -> dict[str, Any]:
    data = content.encode() if isinstance(content, str) else content
    answer = client.post(IMPORTS, params={"file_name": name}, content=data, headers=CSV)
    assert answer.status_code == 202, answer.text
    found: dict[str, Any] = answer.json()
    return found


def get(client: TestClient, usage_import: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"{IMPORTS}/{usage_import['id']}").json()
    return found


def counts(told: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(told[name] for name in ("status", "rows", "recorded", "duplicates", "conflicts", "rejected"))


def stored(database: Database) -> tuple[int, int]:
    """How many imports there are, and how many bytes of files."""
    with database.engine.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT (SELECT count(*) FROM usage_import),"
            " (SELECT coalesce(sum(octet_length(content)), 0) FROM usage_import_part)"
        ).one()
    return found[0], found[1]


def test_from_the_file_to_its_events(shop: Shop, client: TestClient, database: Database) -> None:
    answer = client.post(
        IMPORTS,
        params={"file_name": "november.csv"},
        content=gzip.compress(f"{HEADER}acme,a,1,{MOMENT}\nnobody,b,1,{MOMENT}\n".encode()),
        headers=GZIP,
    )
    sent = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (202, f"{IMPORTS}/{sent['id']}")
    assert (sent["file_name"], sent["status"], sent["bytes_read"]) == ("november.csv", "checking", 0)
    go_on_checking(database)
    checked = get(client, sent)
    assert counts(checked) == ("checked", 2, 1, 0, 0, 1)
    assert checked["preview"] == [
        {"line": 2, "row": ["acme", "a", "1", MOMENT], "status": "recorded", "detail": None},
        {"line": 3, "row": ["nobody", "b", "1", MOMENT], "status": "rejected",
         "detail": "customer: there is no such customer"},
    ]  # fmt: skip
    assert client.get("/api/v1/usage").json()["items"] == []
    started = client.post(f"{IMPORTS}/{sent['id']}/start")
    assert (started.status_code, counts(started.json())) == (202, ("importing", 0, 0, 0, 0, 0))
    go_on_importing(database)
    done = get(client, sent)
    assert (counts(done), done["bytes_read"]) == (("done", 2, 1, 0, 0, 1), done["size_bytes"])
    assert [each["idempotency_key"] for each in client.get("/api/v1/usage").json()["items"]] == ["a"]
    assert client.get(IMPORTS).json() == {"items": [done], "next_cursor": None}


def test_refused_rows_are_mended_and_imported_again(
    shop: Shop, client: TestClient, database: Database
) -> None:
    rows = f"=later,=1+1,-5,{MOMENT}\nacme,short,1\nacme,caf\udce9,1,{MOMENT}\nacme,a,1,{MOMENT}\nacme,a,2,\n"
    content = (HEADER + rows).encode("utf-8", "surrogateescape")
    sent = send(client, content)
    go_on_checking(database)
    listed = client.get(f"{IMPORTS}/{sent['id']}/refusals", params={"limit": 3}).json()
    assert [each["line"] for each in listed["items"]] == [2, 3, 4]
    assert listed["items"][2]["row"][1] == "caf\ufffd"
    rest = {"limit": 3, "cursor": listed["next_cursor"]}
    assert client.get(f"{IMPORTS}/{sent['id']}/refusals", params=rest).json()["items"] == [
        {"line": 6, "row": ["acme", "a", "2", ""], "status": "conflict", "code": "idempotency_conflict",
         "detail": "idempotency_key: was used before with another quantity or moment"},
    ]  # fmt: skip
    answer = client.get(f"{IMPORTS}/{sent['id']}/refused.csv")
    assert answer.headers["content-disposition"] == f'attachment; filename="refused-{sent["id"]}.csv"'
    refused = answer.content
    assert refused.splitlines()[0] == b"line,customer,idempotency_key,quantity,occurred_at,code,detail"
    assert refused.splitlines()[1].startswith(f"2,=later,=1+1,-5,{MOMENT},".encode())
    # As it is, not one row of it is taken for something else than it was.
    again = send(client, refused)
    go_on_checking(database)
    assert counts(get(client, again)) == ("checked", 4, 1, 0, 0, 3)
    mended = refused.replace(b"=later", b"acme").replace(b"-5", b"5").replace(b"caf\xe9", b"caf\xc3\xa9")
    mended = mended.replace(b"acme,short,1,", f"acme,short,1,{MOMENT},".encode())
    last = send(client, mended)
    go_on_checking(database)
    client.post(f"{IMPORTS}/{last['id']}/start")
    go_on_importing(database)
    assert counts(get(client, last)) == ("done", 4, 4, 0, 0, 0)
    keys = {each["idempotency_key"] for each in client.get("/api/v1/usage").json()["items"]}
    assert keys == {"=1+1", "short", "caf\xe9", "a"}


def test_cancelled_and_refused(shop: Shop, client: TestClient, database: Database) -> None:
    sent = send(client, HEADER)
    early = client.post(f"{IMPORTS}/{sent['id']}/start")
    assert (early.status_code, early.json()["code"]) == (409, "import_not_checked")
    assert client.post(f"{IMPORTS}/{sent['id']}/cancel").json()["status"] == "cancelled"
    for path in ("", "/refusals", "/refused.csv"):
        for name in ("imp_999", "nothing"):
            unknown = client.get(f"{IMPORTS}/{name}{path}")
            assert (unknown.status_code, unknown.json()["code"]) == (404, "import_not_found")
    for name in ("", " ", "a\nb", "x" * 256):
        refused = client.post(IMPORTS, params={"file_name": name}, content=b"", headers=CSV)
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "file_name")
    wrong = client.post(IMPORTS, json={})
    assert (wrong.status_code, wrong.json()["code"]) == (415, "unsupported_media_type")
    elsewhere = client.post("/api/v1/usage/batch", content=HEADER, headers=CSV)
    assert elsewhere.status_code == 415
    assert stored(database) == (1, 0)


def test_who_may(shop: Shop, client_of: ClientOf, api: FastAPI, database: Database) -> None:
    sent = send(client_of(Role.BILLING), HEADER)
    finance = client_of(Role.FINANCE)
    assert get(finance, sent)["id"] == sent["id"]
    assert finance.post(IMPORTS, content=HEADER, headers=CSV).status_code == 403
    meter = TestClient(api)
    with database.transaction(SYSTEM) as session:
        token = api_tokens.create_token(session, SYSTEM, name="Meter", scopes=["usage:write"]).token
    meter.headers["Authorization"] = f"Bearer {token}"
    assert send(meter, HEADER)["started_by"].startswith("tok_")
    assert meter.get(IMPORTS).status_code == 403
    assert stored(database)[0] == 2


class TestAsItComes:
    """The body piece by piece, by way of ASGI itself."""

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
    async def test_a_file_larger_than_any_other_body(
        self, api: FastAPI, head: Any, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "BODY_BYTES_MAX", 1000)
        monkeypatch.setattr(limits, "BODIES_BYTES_MAX", 1000)
        sent = await self.ask(api, pieces(*[bytes(300_000)] * 10), head)
        assert (sent.status, stored(database)) == (202, (1, 3_000_000))

    @in_own_loop
    async def test_no_more_is_read_than_is_stored(
        self, api: FastAPI, head: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from billing_app.services.usage_imports import files as usage_import_files

        asked, ahead, come = usage_import_files._parts, [], 0

        def watched(given: Iterator[bytes]) -> Iterator[bytes]:
            kept = 0
            for part in asked(given):
                kept += len(part)
                yield part
                ahead.append(come - kept)

        async def counted() -> Any:
            nonlocal come
            come += 300_000
            return {"type": "http.request", "body": bytes(300_000), "more_body": come < 9_000_000}

        monkeypatch.setattr(usage_import_files, "_parts", watched)
        assert (await self.ask(api, counted, head)).status == 202
        assert len(ahead) == 9
        assert max(ahead) < PART_BYTES_MAX

    @in_own_loop
    async def test_a_file_that_stops_halfway_leaves_nothing(
        self, api: FastAPI, head: Any, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "PIECE_SECONDS_MAX", 0.05)
        sent = await self.ask(api, pieces(bytes(2_000_000), ends=False), head)
        assert (sent.status, sent.code, stored(database)) == (408, "request_timeout", (0, 0))

    @in_own_loop
    async def test_who_goes_away_halfway_leaves_nothing(
        self, api: FastAPI, head: Any, database: Database, caplog: pytest.LogCaptureFixture
    ) -> None:
        messages = [
            {"type": "http.request", "body": bytes(2_000_000), "more_body": True},
            {"type": "http.disconnect"},
        ]

        async def gone() -> dict[str, Any]:
            return messages.pop(0)

        sent = await self.ask(api, gone, head)
        assert (sent.status, stored(database), caplog.records) == (400, (0, 0), [])
        assert database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]

    @in_own_loop
    async def test_a_file_without_end(
        self, api: FastAPI, head: Any, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "FILE_BYTES_MAX", 3_000_000)
        sent = await self.ask(api, endless(bytes(1_000_000)), head)
        assert (sent.status, sent.code, sent.read, stored(database)) == (413, "too_large", 4_000_000, (0, 0))

    @in_own_loop
    async def test_nobody_is_answered_before_a_byte_is_read(self, api: FastAPI, database: Database) -> None:
        sent = await self.ask(api, endless(b"x"), (("content-type", "text/csv"), CHUNKED))
        assert (sent.status, sent.read, stored(database)) == (401, 0, (0, 0))


def test_some_weeks_of_flights(client_of: ClientOf, database: Database, clock: Clock) -> None:
    clock.set(2014, 2)
    client = client_of(Role.BILLING)
    open_accounts(database)
    with gzip.open(FLIGHTS) as source:
        flights = gzip.compress(b"".join(itertools.islice(source, 1 + EVENTS)))
    sent = send(client, flights)
    go_on_checking(database)
    assert counts(get(client, sent)) == ("checked", EVENTS, EVENTS, 0, 0, 0)
    client.post(f"{IMPORTS}/{sent['id']}/start")
    progress: list[int] = []
    go_on_importing(database, lambda chunk: progress.append(get(client, sent)["bytes_read"]))
    done = get(client, sent)
    assert counts(done) == ("done", EVENTS, EVENTS, 0, 0, 0)
    assert len(progress) == -(-EVENTS // usage_csv.BATCH_MAX)
    assert progress == sorted(progress)
    assert 0 < progress[0] < progress[len(progress) // 2] < progress[-1] <= done["size_bytes"]
    again = send(client, flights)
    go_on_checking(database)
    assert counts(get(client, again)) == ("checked", EVENTS, 0, EVENTS, 0, 0)
    assert get(client, again)["same_as"] == sent["id"]


def test_the_csv_is_whole(
    shop: Shop, client: TestClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    from billing_app.services.usage_imports import rejected_rows

    monkeypatch.setattr(rejected_rows, "CHUNK_ROWS", 7)
    sent = send(client, HEADER + "".join(f"nobody,k{number},1,\n" for number in range(100)))
    go_on_checking(database)
    text = client.get(f"{IMPORTS}/{sent['id']}/refused.csv").text
    assert [row["idempotency_key"] for row in csv.DictReader(io.StringIO(text))] == [
        f"k{number}" for number in range(100)
    ]
