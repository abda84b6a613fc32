"""The page of users: inviting, changing, disabling and unlocking them."""

from __future__ import annotations

import re
from collections.abc import Callable

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from billing_app.domain.actor import SYSTEM, Role
from billing_app.services.identity import users
from tests.e2e.business import ADMIN, BILLING, FINANCE, OPERATOR, PASSWORD
from tests.e2e.conftest import Site
from tests.e2e.test_look import found_by_axe

SignIn = Callable[..., None]


def add_user(site: Site, name: str, role: Role = Role.BILLING) -> users.UserRow:
    """Create a user that only this test uses."""
    email = f"{name.lower().replace(' ', '.')}@tallybook.test"
    with site.database.transaction(OPERATOR) as session:
        return users.create_user(session, OPERATOR, email=email, name=name, role=role, password=PASSWORD).user


def sign_in_over_api(site: Site, email: str, password: str = PASSWORD) -> httpx.Response:
    return httpx.post(f"{site.url}/api/v1/auth/token", json={"email": email, "password": password})


def bearer(answer: httpx.Response) -> dict[str, str]:
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def dialog(page: Page) -> Locator:
    return page.get_by_role("dialog")


def row(page: Page, name: str) -> Locator:
    return page.get_by_role("row", name=name)


def choose(page: Page, name: str, action: str) -> None:
    page.get_by_role("button", name=f"Actions for {name}", exact=True).click()
    page.get_by_role("menuitem", name=action).click()
    expect(dialog(page)).to_be_visible()


def secret(page: Page) -> str:
    shown = dialog(page).locator("[data-secret]")
    expect(shown).not_to_be_empty()
    return shown.inner_text()


def test_invited_user_gets_a_one_time_password_that_is_shown_once(signed_in: Page, site: Site) -> None:
    page = signed_in
    page.get_by_role("link", name="Users").click()
    page.get_by_role("button", name="Invite user").click()
    expect(dialog(page).get_by_label("Email")).to_be_focused()
    dialog(page).get_by_label("Email").fill("nell.new@tallybook.test")
    dialog(page).get_by_label("Name").fill("Nell New")
    dialog(page).get_by_label("Role").select_option("Finance")
    page.keyboard.press("Enter")
    expect(dialog(page)).to_contain_text("One-time password for Nell New")
    expect(dialog(page)).to_contain_text("nell.new@tallybook.test")
    expect(page.get_by_role("button", name="Copy")).to_be_focused()
    assert found_by_axe(page) == []
    one_time = secret(page)
    page.keyboard.press("Escape")
    assert one_time not in page.content()
    for words in ("nell.new@tallybook.test", "Finance", "One-time password", "Never"):
        expect(row(page, "Nell New")).to_contain_text(words)
    assert sign_in_over_api(site, "nell.new@tallybook.test", one_time).status_code == 200


def test_email_that_is_taken_is_refused_and_the_input_stays(authenticated: Page) -> None:
    page = authenticated
    page.goto("/users")
    page.get_by_role("button", name="Invite user").click()
    dialog(page).get_by_label("Email").fill("not an email")
    dialog(page).get_by_label("Name").fill("Twice Over")
    dialog(page).get_by_role("button", name="Invite user").click()
    expect(dialog(page).get_by_label("Email")).to_have_accessible_description(
        re.compile("Must be an email address")
    )
    dialog(page).get_by_label("Email").fill(BILLING.upper())
    dialog(page).get_by_role("button", name="Invite user").click()
    expect(dialog(page).get_by_role("alert")).to_have_text(f"The email {BILLING.upper()} is already in use.")
    expect(dialog(page).get_by_label("Name")).to_have_value("Twice Over")


def test_changed_role_takes_effect_at_the_next_click(
    authenticated: Page, browser: Browser, site: Site
) -> None:
    add_user(site, "Rolf Role")
    theirs = browser.new_context(base_url=site.url).new_page()
    theirs.goto("/login?next=/plans")
    theirs.get_by_label("Email").fill("rolf.role@tallybook.test")
    theirs.get_by_label("Password").fill(PASSWORD)
    theirs.get_by_role("button", name="Sign in").click()
    theirs.get_by_role("button", name="New plan").click()
    page = authenticated
    page.goto("/users?search=rolf")
    choose(page, "Rolf Role", "Edit user")
    dialog(page).get_by_label("Role").select_option("Finance")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("User Rolf Role saved")).to_be_visible()
    expect(row(page, "Rolf Role")).to_contain_text("Finance")
    theirs.get_by_label("Name", exact=True).fill("Too late")
    for field in ("Monthly price", "Included units", "Overage price"):
        theirs.get_by_label(field).fill("1")
    theirs.get_by_role("button", name="Create plan").click()
    expect(theirs.get_by_role("dialog").get_by_role("alert")).to_contain_text("The finance role does not")
    theirs.context.close()


def test_two_admins_at_once_see_each_others_change(authenticated: Page, site: Site) -> None:
    tom = add_user(site, "Tom Twofold")
    page = authenticated
    page.goto("/users?search=twofold")
    choose(page, "Tom Twofold", "Edit user")
    with site.database.transaction(SYSTEM) as session:
        users.update_user(session, SYSTEM, tom.user_id, name="Thomas Twofold")
    dialog(page).get_by_label("Role").select_option("Finance")
    page.get_by_role("button", name="Save").click()
    expect(dialog(page)).to_contain_text("Now: Thomas Twofold")
    expect(dialog(page).get_by_label("Role")).to_have_value("finance")


def test_disabled_user_is_signed_out_at_once_and_can_be_enabled_again(
    authenticated: Page, site: Site
) -> None:
    dan = add_user(site, "Dan Disabled")
    headers = bearer(sign_in_over_api(site, dan.email))
    page = authenticated
    page.goto("/users?search=disabled")
    choose(page, "Dan Disabled", "Disable user")
    expect(page.get_by_role("button", name="Cancel")).to_be_focused()
    assert found_by_axe(page) == []
    dialog(page).get_by_role("button", name="Disable user").click()
    expect(page.get_by_text("User Dan Disabled disabled")).to_be_visible()
    expect(row(page, "Dan Disabled").get_by_text("Disabled", exact=True).last).to_be_visible()
    assert httpx.get(f"{site.url}/api/v1/auth/me", headers=headers).status_code == 401
    assert sign_in_over_api(site, dan.email).status_code == 401
    choose(page, "Dan Disabled", "Enable user")
    dialog(page).get_by_role("button", name="Enable user").click()
    expect(page.get_by_text("User Dan Disabled enabled")).to_be_visible()
    assert sign_in_over_api(site, dan.email).status_code == 200


def test_last_admin_cannot_be_demoted(authenticated: Page, site: Site) -> None:
    page = authenticated
    page.goto("/users?role=admin")
    expect(page.locator("tbody tr")).to_have_count(1)
    choose(page, "Ada Lovelace", "Disable user")
    dialog(page).get_by_role("button", name="Disable user").click()
    expect(dialog(page).get_by_role("alert")).to_contain_text(
        "At least one active admin is required. Promote another user first."
    )
    page.get_by_role("button", name="Cancel").click()
    choose(page, "Ada Lovelace", "Edit user")
    dialog(page).get_by_label("Role").select_option("Billing")
    page.get_by_role("button", name="Save").click()
    expect(dialog(page).get_by_role("alert")).to_contain_text("At least one active admin is required")


def test_sessions_of_a_user_are_ended(authenticated: Page, site: Site) -> None:
    sue = add_user(site, "Sue Signedin")
    headers = bearer(sign_in_over_api(site, sue.email))
    page = authenticated
    page.goto("/users?search=sue")
    choose(page, "Sue Signedin", "End all sessions")
    dialog(page).get_by_role("button", name="End all sessions").click()
    expect(page.get_by_text("All sessions ended")).to_be_visible()
    assert httpx.get(f"{site.url}/api/v1/auth/me", headers=headers).status_code == 401


def test_lost_password_is_replaced_by_a_one_time_password(authenticated: Page, site: Site) -> None:
    fred = add_user(site, "Fred Forgetful")
    page = authenticated
    page.goto("/users?search=fred")
    choose(page, "Fred Forgetful", "Create one-time password")
    dialog(page).get_by_role("button", name="Create one-time password").click()
    expect(dialog(page)).to_contain_text("One-time password for Fred Forgetful")
    one_time = secret(page)
    page.get_by_role("button", name="Done").click()
    expect(row(page, "Fred Forgetful")).to_contain_text("One-time password")
    assert sign_in_over_api(site, fred.email).status_code == 401
    assert sign_in_over_api(site, fred.email, one_time).status_code == 200


def test_lock_is_shown_and_ended(authenticated: Page, site: Site) -> None:
    lou = add_user(site, "Lou Shutout")
    for _ in range(5):
        assert sign_in_over_api(site, lou.email, "wrong horse battery").status_code == 401
    assert sign_in_over_api(site, lou.email).status_code == 429
    page = authenticated
    page.goto("/users?search=shutout")
    expect(row(page, "Lou Shutout").get_by_text("Locked", exact=True)).to_be_visible()
    assert found_by_axe(page) == []
    choose(page, "Lou Shutout", "Unlock user")
    dialog(page).get_by_role("button", name="Unlock user").click()
    expect(page.get_by_text("User Lou Shutout unlocked")).to_be_visible()
    expect(row(page, "Lou Shutout").get_by_text("Locked", exact=True)).to_have_count(0)
    assert sign_in_over_api(site, lou.email).status_code == 200


def test_users_are_filtered_in_the_address(authenticated: Page, site: Site) -> None:
    page = authenticated
    page.goto("/users")
    page.get_by_label("Search users").fill("finn")
    expect(page).to_have_url(re.compile(r"\?search=finn$"))
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("search").get_by_label("Role").select_option("Admin")
    expect(page.get_by_role("heading", name="No matching users")).to_be_visible()
    page.get_by_role("link", name="Clear filters").click()
    expect(row(page, "Finn Ance")).to_be_visible()
    own = row(page, "Ada Lovelace")
    expect(own).to_contain_text("You")
    own.get_by_role("button").click()
    expect(page.get_by_role("menuitem")).to_have_text(["Edit user", "Your account", "Disable user"])


@pytest.mark.parametrize("email", [BILLING, FINANCE])
def test_only_admins_can_open_users(page: Page, sign_in: SignIn, email: str) -> None:
    sign_in(email, at="/login?next=/users")
    expect(page.get_by_role("heading", name="You don't have access to this page")).to_be_visible()
    expect(page.get_by_role("link", name="Users", exact=True)).to_have_count(0)
    expect(page.get_by_role("button", name="Invite user")).to_have_count(0)
    expect(page.get_by_text(ADMIN)).to_have_count(0)
    assert found_by_axe(page) == []
