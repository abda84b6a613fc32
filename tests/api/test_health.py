"""The three health checks: what each answers, and that none of them can be made expensive."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import psycopg
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from billing_app.api.app import create_api
from billing_app.database import probe
from billing_app.database.migrations import SchemaState
from billing_app.database.outages import Outage
from billing_app.database.probe import DatabaseProbe
from billing_app.database.session import Database
from billing_app.runtime import current
from billing_app.server.middleware.head_requests import HeadAsGet
from tests.loops import in_a_loop
from tests.runtimes import installed

CHECKS = ("/api/health", "/api/health/live", "/api/health/ready")


def statuses(client: TestClient) -> dict[str, int]:
    return {path.rpartition("/")[2]: client.get(path).status_code for path in CHECKS}


def test_all_three_answer_get_and_head_without_a_token(api: FastAPI) -> None:
    client = TestClient(HeadAsGet(api))
    assert statuses(client) == {"health": 200, "live": 200, "ready": 200}
    assert [client.head(path).status_code for path in CHECKS] == [200, 200, 200]
    assert client.get("/api/health/ready").json() == {"status": "ready", "detail": None}


def test_process_is_alive_without_its_database(database: Database, tmp_path: Path) -> None:
    away = Database(f"postgresql+psycopg://nobody@/nothing?host={tmp_path}")
    with installed(away):
        client = TestClient(create_api())
        assert statuses(client) == {"health": 503, "live": 200, "ready": 503}
        assert client.get("/api/health/ready").json() == {
            "status": "not_ready",
            "detail": "The database server is not running or can't be reached.",
        }
    away.close()


def test_schema_of_another_version_is_not_ready(api: FastAPI, owner: psycopg.Connection) -> None:
    owner.execute("UPDATE alembic_version SET version_num = 'from the future'")
    client = TestClient(api)
    assert statuses(client) == {"health": 503, "live": 200, "ready": 503}
    assert "newer than this server" in client.get("/api/health/ready").json()["detail"]


def test_full_queue_is_not_ready_and_nothing_else(api: FastAPI) -> None:
    metrics = current().metrics
    metrics.queue_length = lambda: metrics.queue_max
    client = TestClient(api)
    assert statuses(client) == {"health": 200, "live": 200, "ready": 503}
    metrics.queue_length = lambda: metrics.queue_max - 1
    assert statuses(client)["ready"] == 200


def test_stopping_server_is_not_ready_and_nothing_else(api: FastAPI) -> None:
    current().is_stopping = True
    assert statuses(TestClient(api)) == {"health": 200, "live": 200, "ready": 503}


def test_any_number_of_requests_asks_the_database_once(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def answer(_connection: object) -> SchemaState:
        asked.append(True)
        return SchemaState.CURRENT

    monkeypatch.setattr(probe, "schema_state", answer)
    asking = DatabaseProbe(database.url, tmp_path)

    async def ask_often() -> list[object]:
        return await asyncio.gather(*(asking.state() for _ in range(500)))

    assert set(in_a_loop(ask_often())) == {SchemaState.CURRENT}
    assert len(asked) == 1


def test_database_that_hangs_is_given_up_on_and_asked_by_one_thread(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging = DatabaseProbe(database.url, tmp_path)
    started = []

    def hang() -> SchemaState:
        started.append(True)
        time.sleep(1)
        return SchemaState.CURRENT

    monkeypatch.setattr(hanging, "_ask", hang)
    monkeypatch.setattr(probe, "ANSWER_SECONDS_MAX", 0.05)
    monkeypatch.setattr(probe, "FRESH_SECONDS", 0.0)
    states = [in_a_loop(hanging.state()) for _ in range(5)]
    assert (states, len(started)) == ([Outage.NOT_ANSWERING] * 5, 1)


def test_check_does_not_wait_for_the_pool(database: Database) -> None:
    small = Database(database.url, pool_size=1)
    with installed(small):
        busy = [small.engine.connect() for _ in range(small.connections_max)]
        assert statuses(TestClient(create_api())) == {"health": 200, "live": 200, "ready": 200}
        for connection in busy:
            connection.close()
    small.close()
