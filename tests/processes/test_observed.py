"""What an operator sees of a real server: its log without personal data, its metrics, and its health."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.factories import PASSWORD
from tests.processes.conftest import Business
from tests.processes.servers import SECONDS_MAX, ApiServer, free_port, serving_api, until, usage

NAME, EMAIL, ADDRESS = "Zanzibar Trading", "boss@zanzibar.example", "7 Spice Road"
WRONG_PASSWORD = "open sesame, please"
REQUEST_ID = "story-1"


@pytest.fixture
def metrics_port() -> int:
    return free_port()


@pytest.fixture
def api(business: Business, tmp_path: Path, metrics_port: int) -> Iterator[ApiServer]:
    settings = {"BILLING_METRICS_PORT": str(metrics_port), "BILLING_LOG_LEVEL": "debug"}
    with serving_api(business.urls, tmp_path, **settings) as server:
        yield server


def tell_story(api: ApiServer, business: Business) -> list[str]:
    """Use the server in every way that involves personal data; return the secrets that were part of it."""
    wrong = {"email": EMAIL, "password": WRONG_PASSWORD}
    assert httpx.post(f"{api.url}/api/v1/auth/token", json=wrong, timeout=SECONDS_MAX).status_code == 401
    session = api.sign_in(business.admin)
    with api.client(session) as admin, api.client(business.token) as meter:
        plan = admin.get("/plans").json()["items"][0]["id"]
        customer = {"name": NAME, "email": EMAIL, "plan_id": plan, "billing_address": ADDRESS}
        assert admin.post("/customers", json=customer).status_code == 201
        assert admin.post("/customers", json={**customer, "key": "other"}).status_code == 409
        assert admin.get("/customers", params={"search": NAME}).status_code in (200, 422)
        assert admin.get(f"/customers/{EMAIL}").status_code == 404
        assert admin.get(f"/{NAME}").status_code == 404
        invited = {"name": NAME, "email": EMAIL, "role": "billing"}
        one_time = admin.post("/users", json=invited).json()["one_time_password"]
        new = admin.post("/tokens", json={"name": NAME, "scopes": ["usage:write"]}).json()["token"]
        assert meter.post("/usage", json=usage(business.customer, "k")).status_code == 201
        assert meter.post("/usage", json=usage(business.customer, "k")).status_code == 200
        assert meter.post("/usage", json=usage(business.customer, "k", "6")).status_code == 409
        assert meter.post("/usage", json=usage(EMAIL, "k2")).status_code == 404
        rows = {"events": [usage(business.customer, "b"), usage(EMAIL, "b")]}
        assert meter.post("/usage/batch", json=rows).status_code == 200
        assert admin.post("/customers", content=b'{"name": "' + NAME.encode()).status_code in (415, 422)
        headers = {"X-Request-Id": REQUEST_ID}
        assert admin.get("/customers", headers=headers).headers["x-request-id"] == REQUEST_ID
    return [session, business.token, new, one_time]


def log_lines(api: ApiServer) -> list[dict[str, Any]]:
    return [json.loads(line) for line in api.log.read_text().splitlines() if line.startswith("{")]


def test_log_of_a_story_contains_no_personal_data_and_no_secret(api: ApiServer, business: Business) -> None:
    secrets = tell_story(api, business)
    # A bug is logged with its traceback: here, a table that has lost a column.
    business.owner.execute("ALTER TABLE customer RENAME COLUMN key TO nickname")
    with api.client(secrets[0]) as admin:
        assert admin.get(f"/customers/{EMAIL}").status_code == 500
    business.owner.execute("ALTER TABLE customer RENAME COLUMN nickname TO key")

    lines = log_lines(api)

    text = api.log.read_text().lower()
    personal = [
        "zanzibar",
        "spice",
        business.admin,
        business.customer,
        PASSWORD,
        WRONG_PASSWORD,
        "127.0.0.1:",
    ]
    assert [each for each in [*personal, *secrets] if each.lower() in text.replace(api.url, "")] == []
    assert [line for line in lines if line.get("request_id") == REQUEST_ID and line["event"] == "request"]
    bug = next(line for line in lines if line["event"] == "Unexpected error in a request")
    assert "42703" in bug["exception"]
    assert bug["request_id"]
    assert {"timestamp", "level", "event", "logger"} <= set.intersection(*map(set, lines))
    routes = {line["route"] for line in lines if line["event"] == "request"}
    assert "/api/v1/customers/{customer}" in routes
    assert all(route.startswith("/api") or route == "unknown" for route in routes)


def test_metrics_of_a_real_server_count_its_story(
    api: ApiServer, business: Business, metrics_port: int
) -> None:
    tell_story(api, business)
    page = httpx.get(f"http://127.0.0.1:{metrics_port}/metrics", timeout=SECONDS_MAX).text
    assert "zanzibar" not in page.lower()
    found = {
        (sample.name, frozenset(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }

    def events(way: str, outcome: str) -> float:
        return found["tallybook_events_total", frozenset({way, outcome})]

    outcomes = ("recorded", "duplicate", "conflict", "rejected")
    assert [events("single", outcome) for outcome in outcomes] == [1, 1, 1, 1]
    assert [events("bulk", outcome) for outcome in outcomes] == [1, 0, 0, 1]
    assert found["tallybook_round_events_count", frozenset()] == 4
    assert found["tallybook_sign_in_failures_total", frozenset({"user.sign_in_failed"})] == 1
    labels = frozenset({"POST", "/api/v1/usage", "409"})
    assert found["tallybook_request_seconds_count", labels] == 1
    assert found["tallybook_database_up", frozenset()] == 1
    # Not on the public port.
    assert httpx.get(f"{api.url}/metrics", timeout=SECONDS_MAX).status_code == 404


def test_metrics_are_served_again_after_the_process_was_killed(api: ApiServer, metrics_port: int) -> None:
    before = api.answering_process()
    os.kill(before.pid, signal.SIGKILL)

    def answers() -> bool:
        try:
            return (
                httpx.get(f"http://127.0.0.1:{metrics_port}/metrics", timeout=SECONDS_MAX).status_code == 200
            )
        except httpx.TransportError:
            return False

    assert until(lambda: api.answering_process().pid != before.pid and answers())


def test_all_health_checks_answer_get_and_head(api: ApiServer) -> None:
    for path in ("", "/live", "/ready"):
        got, head = (
            httpx.request(method, f"{api.url}/api/health{path}", timeout=SECONDS_MAX)
            for method in ("GET", "HEAD")
        )
        assert (got.status_code, head.status_code, head.content) == (200, 200, b"")
