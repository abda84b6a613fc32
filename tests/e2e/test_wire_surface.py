"""Any client can call every handler over a websocket. Without permission, none reveals or changes data."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import psycopg
import pytest
from reflex_base.registry import RegistrationContext

import billing_app.billing_app  # noqa: F401 - registers the handlers
from billing_app.jobs.figures import refresh_figures
from tests.e2e.business import ACME_OCTOBER, ADMIN, FINANCE, PASSWORD
from tests.e2e.conftest import Site
from tests.e2e.socket_client import Refused, Socket

# Data of the business. The page's address doesn't count, because the client sent it.
SECRETS = ("Industrial", "Lovelace", "Ledger Lane", "tallybook.test", "$38.13", "oct-000", "Branch 0")
LEAKS = ("Traceback", "psycopg", "sqlalchemy", "site-packages", "SELECT ")
WRONG = (None, "not-an-int", -1, 2**70, 1.5, True, ["x"], {"a": {"b": 1}}, "\0", "x" * 5000)
PATHS = (
    "/customers",
    "/customers/acme",
    "/invoices",
    f"/invoices/{ACME_OCTOBER}",
    "/invoices/%00",
    "/customers/'--",
)


def handlers() -> dict[str, list[str]]:
    """Return the names of all handlers in the protocol, with their arguments."""
    found = {}
    for name, registered in RegistrationContext.get().event_handlers.items():
        code = registered.handler.fn.__code__
        found[name] = list(code.co_varnames[1 : code.co_argcount])
    assert any(name.endswith(".toggle") for name in found)
    return found


def call_all(socket: Socket) -> str:
    """Call each handler from each page, without and with wrong arguments. Return everything received."""
    heard = []
    for name, arguments in handlers().items():
        for path in PATHS:
            socket.send(name, {}, path)
            if arguments:
                for value in WRONG:
                    socket.send(name, dict.fromkeys(arguments, value), path)
        # A later response is received with the next one.
        heard.append(socket.heard(quiet_seconds=0.05))
    heard.append(socket.heard(quiet_seconds=3))
    return "\n".join(heard)


@pytest.fixture
def unchanged(site: Site) -> Iterator[None]:
    """Fail if the test added, changed or deleted a row in any table."""
    url = site.urls.owner.replace("postgresql+psycopg://", "postgresql://")
    # What earlier tests changed is counted now instead of in between.
    refresh_figures(site.database)
    with psycopg.connect(url, autocommit=True) as connection:
        tables = [
            row[0]
            for row in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            # Recounted regularly in the background, independently of calls.
            if row[0] != "dashboard_figures"
        ]

        def digest() -> dict[str, object]:
            return {
                table: connection.execute(
                    f"SELECT count(*), md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {table} t"  # type: ignore[arg-type]
                ).fetchone()
                for table in tables
            }

        before = digest()
        yield
        assert digest() == before


def cookie_of(site: Site, email: str) -> str:
    answer = httpx.post(f"{site.url}/api/v1/auth/token", json={"email": email, "password": PASSWORD})
    return f"tallybook_session={answer.json()['access_token']}"


@pytest.fixture
def finance_cookie(site: Site) -> str:
    return cookie_of(site, FINANCE)


@pytest.mark.parametrize("cookie", ["", "tallybook_session=eyJhbGciOiJub25lIn0.e30."], ids=["none", "forged"])
def test_unauthenticated_socket_reads_and_writes_nothing(site: Site, unchanged: None, cookie: str) -> None:
    socket = Socket(site.url, cookie=cookie)
    heard = call_all(socket)
    socket.close()
    assert [word for word in (*SECRETS, *LEAKS) if word in heard] == []
    assert "goToSignIn" in heard


def test_finance_socket_reads_and_writes_nothing(site: Site, finance_cookie: str, unchanged: None) -> None:
    socket = Socket(site.url, cookie=finance_cookie)
    heard = call_all(socket)
    socket.close()
    assert [word for word in LEAKS if word in heard] == []
    assert "Industrial" in heard


def test_page_of_another_origin_cannot_open_a_socket(site: Site, finance_cookie: str) -> None:
    for origin in ("https://evil.test", "null", None, f"{site.url}.evil.test"):
        with pytest.raises(Refused):
            Socket(site.url, origin=origin, cookie=finance_cookie)


def test_client_token_belongs_to_the_session_that_first_used_it(site: Site, finance_cookie: str) -> None:
    mine = Socket(site.url, cookie=finance_cookie)
    for cookie in ("", cookie_of(site, ADMIN)):
        with pytest.raises(Refused):
            Socket(site.url, token=mine.token, cookie=cookie)
    mine.close()
    Socket(site.url, token=mine.token, cookie=finance_cookie).close()


def test_client_token_is_rejected_after_its_session_ended(site: Site) -> None:
    cookie = cookie_of(site, FINANCE)
    socket = Socket(site.url, cookie=cookie)
    socket.close()
    answer = httpx.delete(
        f"{site.url}/api/v1/auth/session",
        headers={"Authorization": "Bearer " + cookie.partition("=")[2]},
    )
    assert answer.status_code == 204
    with pytest.raises(Refused):
        Socket(site.url, token=socket.token, cookie=cookie)
