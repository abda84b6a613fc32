"""Two API servers and a page server behind a proxy, configured as deploy/ says."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect

from billing_app.database.embedded import cluster
from billing_app.database.session import Database
from tests.conftest import new_database
from tests.e2e.business import ADMIN, PASSWORD, create_business
from tests.e2e.conftest import free_port, serving
from tests.e2e.proxies import PROXIES, proxied
from tests.processes.servers import SECRET, ApiServer, serving_api

# More than a request's body may have that is not a file.
FILE_BYTES = 20 * 1024 * 1024
# An address of this machine that is none of the proxy's.
CLIENT = "127.0.0.9"


@dataclass(frozen=True)
class Behind:
    """What a proxy stands in front of, and its own address."""

    url: str
    first: ApiServer
    second: ApiServer

    def client(self, **headers: str) -> httpx.Client:
        """Return a client at an address of its own."""
        transport = httpx.HTTPTransport(verify=False, local_address=CLIENT)
        return httpx.Client(base_url=f"{self.url}/api/v1", transport=transport, headers=headers, timeout=60)

    def signed_in(self) -> httpx.Client:
        with self.client() as client:
            answer = client.post("/auth/token", json={"email": ADMIN, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        return self.client(Authorization=f"Bearer {answer.json()['access_token']}")


@pytest.fixture(scope="module", params=PROXIES)
def behind(
    request: pytest.FixtureRequest, server: cluster.Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Behind]:
    """Run it all."""
    directory: Path = tmp_path_factory.mktemp(request.param)
    port = free_port()
    settings = {
        "BILLING_PUBLIC_URL": f"https://localhost:{port}",
        "BILLING_PROXIES": "127.0.0.1",
        "BILLING_JWT_SECRET": SECRET,
    }
    with new_database(server) as urls:
        database = Database(urls.application)
        create_business(database)
        database.close()
        with (
            serving_api(urls, directory, **settings) as first,
            serving_api(urls, directory, **settings) as second,
            serving(urls, directory, **settings) as pages,
        ):
            api = [each.url.removeprefix("http://") for each in (first, second)]
            pages_at = pages.replace("http://localhost", "127.0.0.1")
            with proxied(request.param, port, api, pages_at, directory) as url:
                yield Behind(url, first, second)


def test_person_signs_in_and_page_answers_over_its_websocket(behind: Behind, browser: Browser) -> None:
    context = browser.new_context(base_url=behind.url, ignore_https_errors=True)
    page = context.new_page()
    sockets: list[str] = []
    page.on("websocket", lambda socket: sockets.append(socket.url))
    page.goto("/login")
    page.get_by_label("Email").fill(ADMIN)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Dashboard", level=1)).to_be_visible(timeout=30_000)
    page.goto("/customers")
    page.get_by_role("link", name="Acme Industrial Supply").click()
    expect(page.get_by_role("heading", name="Acme Industrial Supply")).to_be_visible(timeout=30_000)
    assert {each.split("?")[0] for each in sockets} == {behind.url.replace("https", "wss") + "/_event/"}
    (session,) = [each for each in context.cookies() if each["name"] == "tallybook_session"]
    assert session["secure"]
    context.close()


def test_client_is_the_one_that_the_proxy_saw_and_not_what_it_claims(behind: Behind) -> None:
    with behind.signed_in() as client:
        client.headers["X-Forwarded-For"] = "192.0.2.1"
        answer = client.post("/auth/token", json={"email": ADMIN, "password": PASSWORD})
        sessions = client.get("/auth/sessions").json()["items"]
    assert "max-age" in answer.headers["strict-transport-security"]
    assert CLIENT in {each["address"] for each in sessions}
    assert "192.0.2.1" not in {each["address"] for each in sessions}


def test_file_larger_than_other_bodies_is_uploaded(behind: Behind) -> None:
    row = "acme,{:012d},1,2026-11-01T00:00:00Z\n"
    rows = FILE_BYTES // len(row.format(0)) + 1
    content = "customer,idempotency_key,quantity,occurred_at\n" + "".join(map(row.format, range(rows)))
    with behind.signed_in() as client:
        answer = client.post(
            "/usage/imports?file_name=large.csv",
            content=content.encode(),
            headers={"Content-Type": "text/csv"},
        )
        assert answer.status_code in (201, 202), answer.text
        client.post(f"/usage/imports/{answer.json()['id']}/cancel")


def test_stopping_one_api_server_fails_no_request(behind: Behind) -> None:
    with behind.signed_in() as client:
        statuses = {client.get("/auth/me").status_code for _ in range(20)}
        behind.first.process.send_signal(signal.SIGTERM)
        while behind.first.process.poll() is None:
            statuses.add(client.get("/auth/me").status_code)
        statuses |= {client.get("/auth/me").status_code for _ in range(20)}
    assert statuses == {200}
    assert behind.first.process.returncode == 0
