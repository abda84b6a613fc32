"""Signing in and out, and being signed out."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import BrowserContext, Page, expect
from sqlmodel import col, update

from billing_app.domain.actor import SYSTEM
from billing_app.models import UserSession
from billing_app.services.identity import users
from tests.e2e.business import ACME_OCTOBER, ADMIN, BILLING, FINANCE, OPERATOR, PASSWORD
from tests.e2e.conftest import Site

SignIn = Callable[..., None]


def end_all_sessions(site: Site) -> None:
    with site.database.transaction(SYSTEM) as session:
        session.execute(
            update(UserSession)
            .where(col(UserSession.revoked_at).is_(None))
            .values(revoked_at=col(UserSession.created_at))
        )


def test_wrong_password_shows_one_line(page: Page, sign_in: SignIn) -> None:
    sign_in(password="not this one, surely")
    expect(page.get_by_role("alert")).to_have_text("The email or password is incorrect.")
    expect(page).to_have_url("/login")
    expect(page.get_by_label("Email")).to_have_value(ADMIN)


def test_unreachable_server_has_its_own_message(page: Page, sign_in: SignIn) -> None:
    page.route("**/api/v1/auth/session", lambda route: route.abort())
    sign_in()
    expect(page.get_by_role("alert")).to_contain_text("can't be reached")


def test_correct_password_leads_to_the_dashboard(page: Page, sign_in: SignIn) -> None:
    sign_in()
    expect(page.get_by_role("heading", name="Dashboard", level=1)).to_be_visible()
    expect(page.get_by_title(ADMIN)).to_have_text("Ada Lovelace")


def test_user_signs_in_by_keyboard_alone(page: Page) -> None:
    page.goto("/login")
    expect(page.get_by_label("Email")).to_be_focused()
    page.keyboard.type(ADMIN)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Dashboard", level=1)).to_be_visible()


def test_signed_out_visitor_signs_in_and_returns_to_the_requested_page(page: Page, sign_in: SignIn) -> None:
    asked_for = f"/invoices/{ACME_OCTOBER}?line=2"
    sign_in(at=asked_for)
    page.wait_for_url(f"**{asked_for}")
    expect(page.get_by_role("heading", name=f"Invoice {ACME_OCTOBER}")).to_be_visible()


def test_sign_in_page_redirects_only_to_own_pages(page: Page, sign_in: SignIn, site: Site) -> None:
    for foreign in ("https://evil.test/", "//evil.test/", "javascript:alert(1)"):
        sign_in(at=f"/login?next={foreign}")
        page.wait_for_url(f"{site.url}/")
        page.get_by_role("button", name="Sign out").click()
        page.wait_for_url("**/login")


def test_token_is_in_a_cookie_that_scripts_cannot_read(
    signed_in: Page, context: BrowserContext, site: Site
) -> None:
    cookie = next(each for each in context.cookies() if each["name"] == "tallybook_session")
    assert cookie["httpOnly"]
    assert (cookie["sameSite"], cookie["path"], cookie["secure"]) == ("Lax", "/", False)
    seen = signed_in.evaluate(
        "document.cookie + JSON.stringify(localStorage) + JSON.stringify(sessionStorage)"
    )
    assert cookie["value"] not in seen
    assert cookie["value"] not in signed_in.content()


def test_signing_out_ends_the_session_and_its_token(signed_in: Page, context: BrowserContext) -> None:
    token = next(each["value"] for each in context.cookies() if each["name"] == "tallybook_session")
    client_token = signed_in.evaluate("sessionStorage.getItem('token')")
    signed_in.get_by_role("button", name="Sign out").click()
    signed_in.wait_for_url("**/login")
    answer = context.request.get("/api/v1/auth/me", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status, answer.json()["code"]) == (401, "invalid_token")
    assert signed_in.evaluate("sessionStorage.getItem('token')") != client_token
    signed_in.go_back()
    signed_in.wait_for_url("**/login**")


def test_next_user_of_a_tab_sees_nothing_of_the_previous_one(page: Page, sign_in: SignIn) -> None:
    heard: list[str] = []
    page.on("websocket", lambda ws: ws.on("framereceived", lambda frame: heard.append(str(frame))))
    sign_in()
    page.wait_for_url("**/")
    page.goto("/users")
    row = page.get_by_role("row", name="Bea Ledger")
    expect(row).to_be_visible()
    assert any(BILLING in each for each in heard)
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/login")
    expect(row).to_have_count(0)
    heard.clear()
    sign_in(FINANCE, at="/users")
    expect(page.get_by_text("Read-only")).to_be_visible()
    expect(page.get_by_role("heading", name="You don't have access to this page")).to_be_visible()
    page.go_back()
    page.go_forward()
    expect(row).to_have_count(0)
    assert [each for each in heard if BILLING in each] == []


def test_revoked_session_is_redirected_to_sign_in_with_the_reason_and_back(
    signed_in: Page, sign_in: SignIn, site: Site
) -> None:
    signed_in.get_by_role("link", name="Acme Industrial Supply").click()
    expect(signed_in.get_by_role("link", name=ACME_OCTOBER)).to_be_visible()
    end_all_sessions(site)
    signed_in.get_by_role("link", name=ACME_OCTOBER).click()
    signed_in.wait_for_url("**/login?next=**")
    expect(signed_in.locator("#sign-in-reason")).not_to_be_empty()
    signed_in.get_by_label("Email").fill(ADMIN)
    signed_in.get_by_label("Password").fill("a quiet harbour at noon")
    signed_in.get_by_role("button", name="Sign in").click()
    signed_in.wait_for_url(f"**/invoices/{ACME_OCTOBER}")


def test_finance_user_is_shown_as_read_only(page: Page, sign_in: SignIn) -> None:
    sign_in(FINANCE)
    expect(page.get_by_text("Read-only")).to_be_visible()


def test_changed_role_takes_effect_on_the_next_page(page: Page, sign_in: SignIn, site: Site) -> None:
    with site.database.transaction(OPERATOR) as session:
        made = users.create_user(
            session, OPERATOR, email="mo@tallybook.test", name="Mo Ver", role="billing",
            password="another quiet harbour",
        )  # fmt: skip
    sign_in("mo@tallybook.test", "another quiet harbour")
    expect(page.get_by_text("Billing", exact=True)).to_be_visible()
    page.goto("/customers")
    with site.database.transaction(OPERATOR) as session:
        users.update_user(session, OPERATOR, made.user.user_id, role="finance")
    page.get_by_role("link", name="Acme Industrial Supply").click()
    expect(page.get_by_text("Read-only")).to_be_visible()
