"""What every request gets: an id, a place in the metrics, one line in the log, and the security headers."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from billing_app.database.session import Database
from billing_app.runtime import Runtime, current
from billing_app.server.middleware.requests import LINES_PER_SECOND_MAX, LineLimit
from billing_app.server.middleware.stack import ApiBeforePages, wrap_server
from billing_app.telemetry.request_ids import REQUEST_ID
from tests.runtimes import installed, limited_api


@pytest.fixture
def runtime(database: Database) -> Iterator[Runtime]:
    with installed(database) as made:
        yield made


@pytest.fixture
def client(runtime: Runtime) -> TestClient:
    """Return a client of the whole stack, with a page in place of Reflex."""
    return client_of(HTMLResponse("<p>page</p>"))


def client_of(page: Response) -> TestClient:
    app = wrap_server(ApiBeforePages(limited_api(), page), Path("/nowhere"))
    return TestClient(app, base_url="http://testserver", raise_server_exceptions=False)


def counted(runtime: Runtime) -> dict[tuple[str, str, int], int]:
    return {key: timings.cumulative_counts()[-1] for key, timings in runtime.metrics.requests.items()}


@pytest.mark.parametrize("sent", ["a", "0b1f-7", "job:42.retry_1", "x" * 64])
def test_well_formed_id_comes_back(client: TestClient, sent: str) -> None:
    assert client.get("/api/health", headers={"X-Request-Id": sent}).headers["x-request-id"] == sent


@pytest.mark.parametrize("sent", ["", "two words", "line\tbreak", 'quo"te', "x" * 65, "-x", "é", "{json}"])
def test_other_id_is_replaced(client: TestClient, sent: str) -> None:
    answer = client.get("/api/health", headers={"X-Request-Id": sent.encode()})  # type: ignore[dict-item]
    assert answer.headers["x-request-id"] not in ("", sent)


def test_ids_are_unique_on_every_kind_of_answer(client: TestClient) -> None:
    paths = ["/api/health", "/api/v1/customers", "/api/nothing", "/page", "/api/v1/customers/acme"]
    answers = [client.get(path) for path in paths] + [client.get("/", headers={"Origin": "a b"})]
    assert [answer.status_code for answer in answers] == [200, 401, 404, 200, 401, 400]
    assert len({answer.headers["x-request-id"] for answer in answers}) == 6


def test_requests_are_counted_by_the_template_of_their_route(client: TestClient, runtime: Runtime) -> None:
    for _ in range(3):
        client.get("/api/v1/customers/acme")
        client.get("/api/v1/customers/beta")
    client.head("/api/v1/customers/acme")
    client.get("/api/v1/no-such-thing/4711")
    client.get("/customers/acme")
    client.post("/api/v1/usage", json={})
    client.request("INVENTED", "/api/health")
    assert counted(runtime) == {
        ("GET", "/api/v1/customers/{customer}", 401): 6,
        ("HEAD", "/api/v1/customers/{customer}", 401): 1,
        ("GET", "unknown", 404): 1,
        ("GET", "pages", 200): 1,
        ("POST", "/api/v1/usage", 401): 1,
        ("other", "/api/health", 405): 1,
    }


def test_every_line_of_a_request_has_its_id_also_from_a_thread(
    client: TestClient, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def fail(token: str) -> None:
        # A sign-in is looked up in a thread.
        seen.append(REQUEST_ID.get())
        raise LookupError

    monkeypatch.setattr(runtime.authenticator, "authenticate", fail)
    headers = {"Authorization": "Bearer x", "X-Request-Id": "mine"}
    assert client.get("/api/v1/customers", headers=headers).status_code == 500
    assert seen == ["mine"]


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str, str, int]]:
    return [
        (record.levelname, record.method, record.route, record.status)  # type: ignore[attr-defined]
        for record in caplog.records
        if record.getMessage() == "request"
    ]


def test_routine_requests_are_logged_for_debugging_only(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "billing_app")
    for path in ("/api/health", "/page", "/api/v1/customers"):
        client.get(path)
    client.post("/api/v1/auth/token", json={"email": "a@example.com", "password": "x" * 12})
    assert lines(caplog) == [
        ("DEBUG", "GET", "/api/health", 200),
        ("DEBUG", "GET", "pages", 200),
        ("INFO", "GET", "/api/v1/customers", 401),
        ("INFO", "POST", "/api/v1/auth/token", 401),
    ]


def test_bug_is_a_warning_with_its_id(
    client: TestClient, runtime: Runtime, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "authenticator", None)
    answer = client.get("/api/v1/customers", headers={"Authorization": "Bearer x", "X-Request-Id": "mine"})
    assert (answer.status_code, answer.headers["x-request-id"]) == (500, "mine")
    assert lines(caplog) == [("WARNING", "GET", "/api/v1/customers", 500)]


def test_outage_has_no_line_for_each_request(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "billing_app")
    away = Database(f"postgresql+psycopg://nobody@/nothing?host={tmp_path}")
    with installed(away):
        answer = client_of(HTMLResponse("")).get("/api/v1/customers", headers={"Authorization": "Bearer x"})
    assert answer.status_code == 503
    assert lines(caplog) == []
    away.close()


def test_lines_per_second_are_limited_and_the_omitted_ones_counted() -> None:
    limit = LineLimit(LINES_PER_SECOND_MAX)
    allowed = [limit.allows(logging.INFO) for _ in range(10 * LINES_PER_SECOND_MAX)]
    # A second may have ended meanwhile.
    assert sum(allowed) <= 2 * LINES_PER_SECOND_MAX
    assert limit.take_omitted() == len(allowed) - sum(allowed)
    assert limit.take_omitted() == 0
    assert limit.allows(logging.DEBUG)


def test_headers_of_the_application_cannot_loosen_ours(runtime: Runtime) -> None:
    page = PlainTextResponse(
        "x",
        headers={
            "Server": "other/1.0",
            "X-Frame-Options": "ALLOWALL",
            "Access-Control-Allow-Origin": "*",
            "Access-Control-Allow-Credentials": "true",
        },
    )
    headers = client_of(page).get("/").headers
    assert headers.get_list("server") == ["tallybook"]
    assert headers.get_list("x-frame-options") == ["DENY"]
    assert not [name for name in headers if name.startswith("access-control")]
    assert headers["content-security-policy"].startswith("default-src 'none'")


def test_each_kind_of_answer_has_its_policy(client: TestClient) -> None:
    page, docs, data = (client.get(path).headers for path in ("/", "/api/docs", "/api/health"))
    assert "script-src 'self'" in page["content-security-policy"]
    assert "script-src" not in docs["content-security-policy"]
    assert "style-src 'sha256-" in docs["content-security-policy"]
    assert "style-src" not in data["content-security-policy"]
    assert (data["cache-control"], page.get("cache-control")) == ("no-store", None)
    assert "strict-transport-security" not in data


def test_transport_security_is_for_https_alone(database: Database) -> None:
    with installed(database, public_url="https://billing.example"):
        assert "strict-transport-security" in client_of(HTMLResponse("")).get("/api/health").headers
    with installed(database):
        client = client_of(HTMLResponse(""))
        client.base_url = "https://testserver"  # type: ignore[assignment]
        assert "strict-transport-security" in client.get("/api/health").headers
        assert current().metrics.open_websockets == 0
