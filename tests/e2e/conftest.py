"""Fixtures for page tests: the built app, served once, and a browser context for each test."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import psutil
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from billing_app.database.embedded import cluster
from billing_app.database.provision import Urls
from billing_app.database.session import Database
from billing_app.server.page_build import ROOT
from billing_app.services.identity import passwords
from billing_app.settings import Settings
from tests.browser import find_browser
from tests.conftest import new_database
from tests.e2e.business import ADMIN, PASSWORD, create_business

START_SECONDS_MAX = 180
# A machine that does much else at the same time takes longer than Playwright's five seconds.
expect.set_options(timeout=20_000)
# Disables the browser's background traffic, so that only the page's requests are seen.
BROWSER_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass(frozen=True)
class Site:
    """A running server: its address and its database."""

    url: str
    urls: Urls
    database: Database


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(urls: Urls | None, data_dir: Path, **environment: str) -> Iterator[str]:
    """Run `billing serve` on a free port until the block ends, and stop it with SIGTERM. Yield its address.

    Without `urls`, it uses the embedded database in the data directory.
    """
    port = free_port()
    log = data_dir / f"serve-{port}.log"
    share_pages(data_dir)
    settings = {
        "DATABASE_URL": urls.application if urls else "",
        "DATABASE_OWNER_URL": urls.owner if urls else "",
        "BILLING_DATA_DIR": str(data_dir),
        "BILLING_PORT": str(port),
        "BILLING_DEMO": "0",
        **environment,
    }
    command = [sys.executable, "-c", "from billing_app.cli.app import main; main()", "serve"]
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command, env={**os.environ, **settings}, stdout=output, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            yield when_it_answers(f"http://localhost:{port}", process, log)
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(40) == 0, log.read_text()


def share_pages(data_dir: Path) -> None:
    """Use the pages that were built in the user's home if the checkout is read-only, and build them once."""
    if not os.access(ROOT, os.W_OK):
        pages = Settings().create_data_dir() / "pages"
        pages.mkdir(exist_ok=True)
        if not (data_dir / "pages").exists():
            (data_dir / "pages").symlink_to(pages.resolve())


def serving_process(url: str) -> psutil.Process:
    """Return the child process that answers requests, not the one that supervises it."""
    port = int(url.rpartition(":")[2])
    supervisors = [
        each
        for each in psutil.Process().children()
        if each.is_running() and each.environ().get("BILLING_PORT") == str(port)
    ]
    (supervisor,) = supervisors
    return max(supervisor.children(), key=lambda each: each.memory_info().rss)


def when_it_answers(url: str, process: subprocess.Popen[bytes], log: Path) -> str:
    until = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < until:
        assert process.poll() is None, log.read_text()
        try:
            if httpx.get(f"{url}/api/health").status_code == 200:
                return url
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError(f"no answer within {START_SECONDS_MAX} s:\n{log.read_text()}")


@pytest.fixture(scope="session")
def site(server: cluster.Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Serve the business of `business.py`."""
    with new_database(server) as urls:
        database = Database(urls.application)
        with pytest.MonkeyPatch.context() as patch:
            # Nearly every test signs in, which would take a quarter of a second.
            patch.setattr(passwords, "COST", 4)
            create_business(database)
        with serving(urls, tmp_path_factory.mktemp("site")) as url:
            yield Site(url, urls, database)
        database.close()


@pytest.fixture
def today(site: Site) -> Iterator[None]:
    """Make the services that a test calls use the current time, as the server does."""
    new_world, site.database.clock = site.database.clock, lambda: datetime.now(UTC)
    yield
    site.database.clock = new_world


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = find_browser()
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=BROWSER_FLAGS)
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def shared_context(browser: Browser, site: Site) -> Iterator[BrowserContext]:
    """Return the one context of nearly all tests. Its cache saves each of them loading all scripts anew."""
    made = browser.new_context(
        base_url=site.url, viewport={"width": 1280, "height": 800}, timezone_id="Europe/Berlin"
    )
    made.set_default_timeout(10_000)
    yield made
    made.close()


@pytest.fixture
def context(shared_context: BrowserContext, site: Site) -> Iterator[BrowserContext]:
    """Return the shared context, without anything that the test before left: cookies, settings and pages."""
    yield shared_context
    shared_context.unroute_all()
    for page in shared_context.pages:
        page.close()
    # Asked of the browser, not of a page: a test may end while its page is still going to the next.
    blank = shared_context.new_page()
    everything = {"origin": site.url, "storageTypes": "cookies,local_storage"}
    shared_context.new_cdp_session(blank).send("Storage.clearDataForOrigin", everything)
    blank.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


@pytest.fixture
def sign_in(page: Page) -> Callable[..., None]:
    """Return a function that signs in on the sign-in page."""

    def work(email: str = ADMIN, password: str = PASSWORD, *, at: str = "/login") -> None:
        page.goto(at)
        page.get_by_label("Email").fill(email)
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Sign in").click()

    return work


@pytest.fixture
def authenticated(page: Page, site: Site) -> Page:
    """Return a blank page of an admin's session, made without the sign-in page."""
    page.request.post(f"{site.url}/api/v1/auth/session", data={"email": ADMIN, "password": PASSWORD})
    return page


@pytest.fixture
def signed_in(authenticated: Page) -> Page:
    """Return an admin's page that shows the customers."""
    authenticated.goto("/customers")
    # Rows come over the WebSocket: until then the page is only drawn, and a click would be lost.
    expect(authenticated.locator("tbody tr").first).to_be_visible()
    return authenticated
