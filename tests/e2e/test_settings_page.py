"""The pages of the settings: company details, the user's account, and API tokens."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from billing_app.domain.actor import SYSTEM, Role
from billing_app.services.identity import users
from billing_app.services.invoices import issuer
from tests.e2e.business import BILLING, FINANCE, OPERATOR, PASSWORD
from tests.e2e.conftest import Site
from tests.e2e.test_look import found_by_axe

SignIn = Callable[..., None]


@pytest.fixture
def restored(site: Site) -> Iterator[None]:
    """Restore the issuer after the test, because all tests share it."""
    was = read_issuer(site)
    yield
    with site.database.transaction(SYSTEM) as session:
        issuer.update_issuer(
            session,
            SYSTEM,
            name=was.name,
            address=was.address,
            email=was.email,
            payment_instructions=was.payment_instructions,
        )


def read_issuer(site: Site) -> issuer.IssuerRow:
    with site.database.transaction(SYSTEM) as session:
        return issuer.get_issuer(session, SYSTEM)


def add_user(site: Site, email: str, role: Role = Role.FINANCE) -> str:
    """Create a user that only this test uses."""
    with site.database.transaction(OPERATOR) as session:
        users.create_user(session, OPERATOR, email=email, name="Sam Sessions", role=role, password=PASSWORD)
    return email


def sign_in_by_script(site: Site, email: str) -> httpx.Client:
    """Start another session of the user, over the API."""
    answer = httpx.post(f"{site.url}/api/v1/auth/token", json={"email": email, "password": PASSWORD})
    return httpx.Client(
        base_url=site.url, headers={"Authorization": f"Bearer {answer.json()['access_token']}"}
    )


def status(client: httpx.Client) -> int:
    return client.get("/api/v1/auth/me").status_code


def dialog(page: Page) -> Locator:
    return page.get_by_role("dialog")


def open_issuer(page: Page) -> Locator:
    page.goto("/settings")
    name = page.get_by_label("Name")
    expect(name).to_have_value("Tallybook Ltd")
    return name


def test_admin_edits_company_details_in_place(signed_in: Page, site: Site, restored: None) -> None:
    page = signed_in
    page.get_by_role("link", name="Settings").click()
    expect(page.get_by_label("Name")).to_have_value("Tallybook Ltd")
    page.get_by_label("Address").fill("2 Ledger Lane\nLondon")
    page.get_by_role("button", name="Save company details").click()
    expect(page.get_by_text("Company details saved")).to_be_visible()
    assert read_issuer(site).address == "2 Ledger Lane\nLondon"
    page.get_by_label("Email").fill("money@tallybook.test")
    page.get_by_role("button", name="Save company details").click()
    expect(page.get_by_role("button", name="Save company details")).not_to_have_attribute("aria-busy", "true")
    expect(page.get_by_label("Email")).to_have_value("money@tallybook.test")
    page.reload()
    expect(page.get_by_label("Email")).to_have_value("money@tallybook.test")
    expect(page.get_by_label("Address")).to_have_value("2 Ledger Lane\nLondon")


def test_invalid_company_details_are_explained_in_place(signed_in: Page, site: Site) -> None:
    page = signed_in
    name = open_issuer(page)
    name.fill("")
    page.get_by_label("Address").fill("Typed, and kept")
    page.get_by_role("button", name="Save company details").click()
    expect(name).to_have_accessible_description("Must not be empty.")
    expect(name).to_be_focused()
    expect(page.get_by_label("Address")).to_have_value("Typed, and kept")
    assert found_by_axe(page) == []
    assert read_issuer(site).name == "Tallybook Ltd"


def test_concurrent_edits_of_company_details_are_shown(signed_in: Page, site: Site, restored: None) -> None:
    page = signed_in
    name = open_issuer(page)
    was = read_issuer(site)
    with site.database.transaction(SYSTEM) as session:
        issuer.update_issuer(
            session,
            SYSTEM,
            name="Tallybook plc",
            address=was.address,
            email=was.email,
            payment_instructions=was.payment_instructions,
        )
    name.fill("Tallybook GmbH")
    save = page.get_by_role("button", name="Save company details")
    save.click()
    expect(page.get_by_text("Someone else changed this in the meantime")).to_be_visible()
    expect(page.get_by_text("Now: Tallybook plc")).to_be_visible()
    expect(name).to_have_value("Tallybook GmbH")
    assert read_issuer(site).name == "Tallybook plc"
    save.click()
    expect(page.get_by_text("Company details saved")).to_be_visible()
    assert read_issuer(site).name == "Tallybook GmbH"


@pytest.mark.parametrize("email", [BILLING, FINANCE])
def test_other_users_can_only_read_company_details(page: Page, sign_in: SignIn, email: str) -> None:
    sign_in(email, at="/login?next=/settings")
    expect(page.get_by_text("1 Ledger Lane")).to_be_visible()
    expect(page.get_by_role("button", name="Save company details")).to_have_count(0)
    expect(page.get_by_role("textbox", name="Name")).to_have_count(0)
    expect(page.get_by_role("link", name="API tokens")).to_have_count(0)
    page.goto("/settings/tokens")
    expect(page.get_by_role("heading", name="You don't have access to this page")).to_be_visible()
    expect(page.get_by_role("button", name="New token")).to_have_count(0)


def test_user_sees_their_sessions_and_ends_one(page: Page, sign_in: SignIn, site: Site) -> None:
    email = add_user(site, "sam.one@tallybook.test")
    script = sign_in_by_script(site, email)
    sign_in(email, at="/login?next=/settings/account")
    table = page.get_by_role("table", name="Sessions")
    this, other = table.get_by_role("row", name="Current"), table.get_by_role("row", name="python-httpx")
    expect(this).to_contain_text("Chrome on Linux")
    expect(this.get_by_role("button")).to_have_count(0)
    other.get_by_role("button", name="End").click()
    expect(dialog(page)).to_contain_text("End this session?")
    assert found_by_axe(page) == []
    page.keyboard.press("Escape")
    assert status(script) == 200
    other.get_by_role("button", name="End").click()
    dialog(page).get_by_role("button", name="End session").click()
    expect(page.get_by_text("Session ended")).to_be_visible()
    expect(other).to_have_count(0)
    expect(page.get_by_role("button", name="End other sessions")).to_have_count(0)
    assert status(script) == 401


def test_user_ends_all_other_sessions(page: Page, sign_in: SignIn, site: Site) -> None:
    email = add_user(site, "sam.two@tallybook.test")
    scripts = [sign_in_by_script(site, email) for _ in range(2)]
    sign_in(email, at="/login?next=/settings/account")
    page.get_by_role("button", name="End other sessions").click()
    dialog(page).get_by_role("button", name="End other sessions").click()
    expect(page.get_by_text("All other sessions ended")).to_be_visible()
    expect(page.get_by_role("table", name="Sessions").locator("tbody tr")).to_have_count(1)
    assert [status(each) for each in scripts] == [401, 401]
    page.reload()
    expect(page.get_by_text("Current")).to_be_visible()


def test_password_is_changed_from_the_account_page(page: Page, sign_in: SignIn, site: Site) -> None:
    email = add_user(site, "sam.three@tallybook.test")
    script = sign_in_by_script(site, email)
    sign_in(email, at="/login?next=/settings/account")
    page.get_by_role("link", name="Change password").click()
    page.get_by_role("link", name="Cancel").click()
    page.get_by_role("link", name="Change password").click()
    page.get_by_label("Current password").fill(PASSWORD)
    page.get_by_label("New password").fill("four horses near a lake")
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_text("Password changed")).to_be_visible()
    expect(page).to_have_url(re.compile("/settings/account$"))
    expect(page.get_by_role("table", name="Sessions").locator("tbody tr")).to_have_count(1)
    assert status(script) == 401


def make_token(page: Page, name: str, may: str) -> str:
    """Create a token on the page, and return its secret from the screen."""
    page.goto("/settings/tokens")
    page.get_by_role("button", name="New token").first.click()
    dialog(page).get_by_label("Name").fill(name)
    dialog(page).get_by_label("Access").select_option(may)
    dialog(page).get_by_role("button", name="Create token").click()
    expect(dialog(page)).to_contain_text(f"API token {name}")
    shown = dialog(page).locator("[data-secret]")
    expect(shown).to_have_text(re.compile("^tbk_"))
    return shown.inner_text()


def test_token_is_shown_once_and_works_until_it_is_revoked(signed_in: Page, site: Site) -> None:
    page = signed_in
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    token = make_token(page, "Lighthouse meter", "Read everything")
    assert found_by_axe(page) == []
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == token
    page.get_by_role("button", name="Done").click()
    expect(dialog(page)).to_have_count(0)
    assert token not in page.content()

    machine = httpx.Client(base_url=site.url, headers={"Authorization": f"Bearer {token}"})
    assert machine.get("/api/v1/plans").status_code == 200
    page.reload()
    row = page.get_by_role("row", name="Lighthouse meter")
    for words in ("Read everything", "Ada Lovelace"):
        expect(row).to_contain_text(words)
    expect(row).not_to_contain_text("Never")
    assert token not in page.content()

    row.get_by_role("button", name="Revoke Lighthouse meter").click()
    expect(dialog(page)).to_contain_text("Revoke Lighthouse meter?")
    page.get_by_role("button", name="Cancel").click()
    assert machine.get("/api/v1/plans").status_code == 200
    row.get_by_role("button", name="Revoke Lighthouse meter").click()
    dialog(page).get_by_role("button", name="Revoke token").click()
    expect(row).to_contain_text("Revoked")
    expect(row.get_by_role("button")).to_have_count(0)
    assert machine.get("/api/v1/plans").status_code == 401


def test_token_without_a_name_shows_an_error_at_its_field(authenticated: Page) -> None:
    page = authenticated
    page.goto("/settings/tokens")
    page.get_by_role("button", name="New token").first.click()
    page.get_by_role("button", name="Create token").click()
    name = dialog(page).get_by_label("Name")
    expect(name).to_have_accessible_description("Must not be empty.")
    expect(name).to_be_focused()
