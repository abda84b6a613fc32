"""One build of the pages works at every address, and files have the right headers."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from billing_app.server import page_build
from tests.e2e.business import ADMIN, PASSWORD
from tests.e2e.conftest import Site, serving

FIRST_PAGE_GZIP_BYTES_MAX = 310_000


def test_one_build_works_at_another_host_and_port(site: Site, browser: Browser, tmp_path: Path) -> None:
    built = page_build.ensure_built()
    assert built.seconds == 0
    with serving(site.urls, tmp_path) as url:
        page = browser.new_page(base_url=url.replace("localhost", "127.0.0.1"))
        sockets: list[str] = []
        page.on("websocket", lambda socket: sockets.append(socket.url))
        page.goto("/login")
        page.get_by_label("Email").fill(ADMIN)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", name="Dashboard", level=1)).to_be_visible()
        address = url.replace("http://localhost", "ws://127.0.0.1") + "/_event/"
        assert sockets
        assert all(each.startswith(address) for each in sockets)
        page.close()
    assert page_build.ensure_built().path == built.path


def test_cookie_is_secure_and_hsts_is_sent_behind_https(site: Site, tmp_path: Path) -> None:
    with serving(site.urls, tmp_path, BILLING_PUBLIC_URL="https://billing.example") as url:
        answer = httpx.post(
            f"{url}/api/v1/auth/session",
            json={"email": ADMIN, "password": PASSWORD},
            headers={"Origin": "https://billing.example"},
        )
        page = httpx.get(f"{url}/login")
    assert "max-age" in page.headers["strict-transport-security"]
    assert answer.status_code == 204
    session = next(each for each in answer.headers.get_list("set-cookie") if "tallybook_session" in each)
    assert "Secure" in session
    assert "HttpOnly" in session


@pytest.mark.parametrize("path", ["/customers", "/login"])
def test_page_has_one_address(site: Site, path: str) -> None:
    assert httpx.get(site.url + path).status_code == 200
    answer = httpx.get(f"{site.url}{path}/?a=b")
    assert (answer.status_code, answer.headers["location"]) == (308, f"{path}?a=b")


def test_pages_load_only_from_this_server_and_scripts_are_cached(site: Site, page: Page) -> None:
    loaded: list[str] = []
    page.on("request", lambda request: loaded.append(request.url))
    page.goto("/login")
    assert {each.split("/")[2] for each in loaded} == {site.url.split("/")[2]}
    answer = httpx.get(f"{site.url}/login")
    assert answer.headers["cache-control"] == "no-cache"
    script = next(each for each in loaded if "/assets/" in each and each.endswith(".js"))
    assert "immutable" in httpx.get(script).headers["cache-control"]


def test_built_files_contain_no_passwords() -> None:
    build = page_build.ensure_built().path / "build" / "client"
    for file in build.rglob("*.*"):
        assert b"demo-admin" not in file.read_bytes(), file


def test_foreign_origin_gets_no_cors_and_cannot_write(site: Site) -> None:
    answer = httpx.get(f"{site.url}/api/health", headers={"Origin": "https://evil.test"})
    assert "access-control-allow-origin" not in answer.headers
    with httpx.Client(base_url=site.url) as client:
        client.post("/api/v1/auth/session", json={"email": ADMIN, "password": PASSWORD})
        refused = client.delete("/api/v1/auth/session", headers={"Origin": "https://evil.test"})
        assert (refused.status_code, refused.json()["code"]) == (403, "foreign_origin")
        assert client.delete("/api/v1/auth/session").status_code == 403
        assert client.delete("/api/v1/auth/session", headers={"Origin": site.url}).status_code == 204


def test_first_page_fits_its_size_budget() -> None:
    # Compressed, including the charts of the dashboard. The build prints this size.
    assert page_build.ensure_built().first_page_gzip_bytes < FIRST_PAGE_GZIP_BYTES_MAX
