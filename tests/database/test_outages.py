"""While the database can't be reached, the health check says why and the log stays short."""

from __future__ import annotations

import logging
from pathlib import Path

import psycopg
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError

from billing_app.api.app import create_api
from billing_app.database import outages
from billing_app.database.outages import Outage, OutageLog, diagnose_outage
from billing_app.database.session import Database, is_unavailable
from billing_app.domain.actor import SYSTEM
from tests.runtimes import installed

EVENT = {"customer": "acme", "quantity": "1", "idempotency_key": "k"}
CLOUD_EVENT = {
    "specversion": "1.0",
    "id": "1",
    "source": "s",
    "type": "t",
    "subject": "acme",
    "data": {"value": 1},
}
REQUESTS: list[tuple[str, str, object]] = [
    ("GET", "/api/v1/customers", None),
    ("POST", "/api/v1/usage", EVENT),
    ("POST", "/api/v1/usage/batch", {"events": [EVENT]}),
    ("POST", "/api/v1/events", CLOUD_EVENT),
    ("POST", "/api/v1/auth/token", {"email": "ada@example.com", "password": "correct horse battery"}),
]


def unreachable(database: Database, tmp_path: Path) -> str:
    """Return the URL of the database with a socket that no server listens on."""
    url = make_url(database.url).update_query_dict({"host": str(tmp_path)})
    return url.render_as_string(hide_password=False)


def test_each_kind_of_work_is_logged_once_until_the_next_report(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = OutageLog()
    for _ in range(100):
        log.report("a request", OSError("connection refused\nsecond line"))
        log.report("a page", OSError("connection refused"))
    assert [record.getMessage() for record in caplog.records] == [
        "The database can't be reached, so a request failed: connection refused",
        "The database can't be reached, so a page failed: connection refused",
    ]
    monkeypatch.setattr(outages, "REPORT_SECONDS", 0.0)
    log.report("a request", OSError("connection refused"))
    assert "(99 more since the last report)" in caplog.records[-1].getMessage()


def test_requests_during_an_outage_log_one_line_and_no_stack_trace(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    away = Database(unreachable(database, tmp_path))
    with installed(away), caplog.at_level(logging.WARNING):
        client = TestClient(create_api())
        for _ in range(5):
            for method, path, body in REQUESTS:
                answer = client.request(method, path, json=body, headers={"Authorization": "Bearer tb_x"})
                assert (answer.status_code, answer.json()["code"]) == (503, "unavailable"), path
                assert answer.headers["retry-after"] == "5", path
        health = client.get("/api/health")
    assert len(caplog.records) == 1
    assert caplog.records[0].exc_info is None
    assert health.status_code == 503
    assert health.json()["detail"] == "The database server is not running or can't be reached."
    away.close()


def test_outage_of_a_server_that_answers_is_a_refusal(database: Database, tmp_path: Path) -> None:
    assert diagnose_outage(database.url, tmp_path) is Outage.REFUSING


def test_full_disk_is_named(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "postgres").mkdir()
    monkeypatch.setattr(outages, "_DISK_BYTES_MIN", 1 << 60)
    assert diagnose_outage(unreachable(database, tmp_path), tmp_path) is Outage.DISK_FULL


@pytest.mark.parametrize(
    ("change", "state", "detail"),
    [
        ("UPDATE alembic_version SET version_num = '2027_01_01_later'", "ahead", "newer than this server"),
        ("DELETE FROM alembic_version", "behind", "older than this server"),
    ],
)
def test_schema_that_changes_under_a_running_server_is_reported_by_health(
    database: Database, owner: psycopg.Connection, change: str, state: str, detail: str
) -> None:
    with installed(database):
        assert TestClient(create_api()).get("/api/health").json()["migrations"] == "ok"
        owner.execute(change)
        health = TestClient(create_api()).get("/api/health")
    assert health.status_code == 503
    assert (health.json()["migrations"], health.json()["database"]) == (state, "ok")
    assert detail in health.json()["detail"]


@pytest.mark.parametrize("sqlstate", ["57P01", "57P02", "53100", "53300", "58030", "08006"])
def test_database_without_resources_is_unavailable(database: Database, sqlstate: str) -> None:
    with pytest.raises(DBAPIError) as raised, database.transaction(SYSTEM) as session:
        session.execute(text(f"DO $$ BEGIN RAISE SQLSTATE '{sqlstate}'; END $$"))
    assert is_unavailable(raised.value)


@pytest.mark.parametrize("sqlstate", ["23505", "40001", "42P01", "57014"])
def test_rejected_statement_is_not_an_outage(database: Database, sqlstate: str) -> None:
    with pytest.raises(DBAPIError) as raised, database.transaction(SYSTEM) as session:
        session.execute(text(f"DO $$ BEGIN RAISE SQLSTATE '{sqlstate}'; END $$"))
    assert not is_unavailable(raised.value)
