"""Replacing a one-time password."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from billing_app.domain.actor import Role
from billing_app.services.identity import users
from tests.e2e.business import OPERATOR
from tests.e2e.conftest import Site

SignIn = Callable[..., None]
NEW = "four horses near a lake"
_numbers = itertools.count(1)


@pytest.fixture
def invited(site: Site) -> tuple[str, str]:
    """The email and the one-time password of a user who has never signed in."""
    email = f"invited{next(_numbers)}@tallybook.test"
    with site.database.transaction(OPERATOR) as session:
        made = users.create_user(session, OPERATOR, email=email, name="Ivy Invited", role=Role.FINANCE)
    assert made.one_time_password
    return email, made.one_time_password


def change(page: Page, current: str, new: str) -> None:
    page.get_by_label("Current password").fill(current)
    page.get_by_label("New password").fill(new)
    page.get_by_role("button", name="Change password").click()


def test_invited_user_must_choose_a_password_first(
    page: Page, sign_in: SignIn, invited: tuple[str, str]
) -> None:
    email, one_time = invited
    sign_in(email, one_time, at="/customers/acme")
    expect(page.get_by_role("heading", name="Choose your password")).to_be_visible()
    page.goto("/customers")
    expect(page.get_by_role("heading", name="Choose your password")).to_be_visible()
    expect(page.get_by_text("Acme Industrial Supply")).to_have_count(0)
    change(page, one_time, "too short")
    expect(page.get_by_role("alert")).to_have_text("The new password must have at least 12 characters.")
    change(page, "not the present one", NEW)
    expect(page.get_by_role("alert")).to_have_text("That isn't your current password.")
    change(page, one_time, NEW)
    expect(page.get_by_role("link", name="Acme Industrial Supply")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/login")
    sign_in(email, NEW)
    expect(page.get_by_role("heading", name="Dashboard", level=1)).to_be_visible()
