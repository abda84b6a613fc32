"""The plans page: creating plans and versions, and archiving them."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from billing_app.domain.actor import SYSTEM
from billing_app.services.plans import plans
from tests.e2e.business import BILLING, FINANCE
from tests.e2e.conftest import Site
from tests.e2e.test_look import found_by_axe


def card(page: Page, name: str) -> Locator:
    return page.get_by_role("article", name=name, exact=True)


def dialog(page: Page) -> Locator:
    return page.get_by_role("dialog")


def make(site: Site, name: str, **terms: object) -> int:
    """Create a plan before the page is opened.

    Its name must come before "Plan": the other tests' plans have such names, and can fill the first page.
    """
    given = {"monthly_price": "10", "included_units": "100", "overage_unit_price": "0.5", **terms}
    with site.database.transaction(SYSTEM) as session:
        return plans.create_plan(session, SYSTEM, name=name, **given).plan_id  # type: ignore[arg-type]


def versions(site: Site, name: str) -> list[int]:
    with site.database.transaction(SYSTEM) as session:
        return [plan.version for plan in plans.list_plans(session, SYSTEM).items if plan.name == name]


def fill(page: Page, **terms: str) -> None:
    for label, value in terms.items():
        dialog(page).get_by_label(label.replace("_", " "), exact=True).fill(value)


def choose(page: Page, plan: str, action: str) -> None:
    page.get_by_role("button", name=f"Actions for {plan}", exact=True).click()
    page.get_by_role("menuitem", name=action).click()
    expect(dialog(page)).to_be_visible()


def test_plan_is_created(signed_in: Page) -> None:
    page = signed_in
    page.get_by_role("link", name="Plans").click()
    page.get_by_role("button", name="New plan").click()
    expect(page.get_by_label("Name", exact=True)).to_be_focused()
    fill(page, Name="Lighthouse", Monthly_price="49.5", Included_units="2000", Overage_price="0.003")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Lighthouse, version 1 created")).to_be_visible()
    expect(dialog(page)).to_have_count(0)
    made = card(page, "Lighthouse")
    for words in ("$49.50", "2,000 units", "$0.003 per unit", "0 customers", "Version 1"):
        expect(made).to_contain_text(words)


def test_error_is_shown_at_its_field_and_typed_text_is_kept(authenticated: Page, site: Site) -> None:
    page = authenticated
    page.goto("/plans")
    page.get_by_role("button", name="New plan").click()
    fill(page, Name="Mistyped", Monthly_price="29.001", Included_units="0", Overage_price="1")
    save = page.get_by_role("button", name="Create plan")
    save.click()
    price = page.get_by_label("Monthly price")
    expect(price).to_have_accessible_description("Must have at most 2 decimals.")
    expect(price).to_be_focused()
    expect(price).to_have_value("29.001")
    expect(save).not_to_have_attribute("aria-busy", "true")
    assert found_by_axe(page) == []
    price.fill("29")
    fill(page, Overage_price="free")
    save.click()
    expect(page.get_by_label("Overage price")).to_have_accessible_description(
        "Must be a number written like 1,234.56."
    )
    expect(price).not_to_have_accessible_description("Must have at most 2 decimals.")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("button", name="New plan")).to_be_focused()
    page.get_by_role("button", name="New plan").click()
    expect(page.get_by_label("Name", exact=True)).to_have_value("")
    assert versions(site, "Mistyped") == []


def test_new_version_starts_with_the_terms_of_the_newest_one(authenticated: Page, site: Site) -> None:
    make(site, "Harbour", currency="JPY", monthly_price="3000")
    page = authenticated
    page.goto("/plans")
    choose(page, "Harbour", "New version")
    for label, value in (
        ("Monthly price", "3000"),
        ("Currency", "JPY"),
        ("Included units", "100"),
        ("Overage price", "0.5"),
    ):
        expect(page.get_by_label(label)).to_have_value(value)
    fill(page, Monthly_price="3500")
    page.get_by_role("button", name="Create version").click()
    changed = card(page, "Harbour")
    expect(changed).to_contain_text("¥3,500")
    expect(changed).to_contain_text("Version 2")
    changed.get_by_text("1 earlier version").click()
    expect(
        changed.get_by_text("¥3,000 a month, 100 included units, ¥0.5 per unit of overage")
    ).to_be_visible()


def test_same_terms_create_no_version(authenticated: Page, site: Site) -> None:
    make(site, "Calm")
    page = authenticated
    page.goto("/plans")
    choose(page, "Calm", "New version")
    page.get_by_role("button", name="Create version").click()
    expect(page.get_by_text("Calm, version 1 already has these terms")).to_be_visible()
    assert versions(site, "Calm") == [1]


@pytest.mark.parametrize("width", [320, 360, 390, 768, 1024, 1440])
def test_long_names_and_amounts_fit_every_width(signed_in: Page, site: Site, width: int) -> None:
    """The page doesn't scroll sideways, with a price of 1,234,567.89 or of 20 digits."""
    make(
        site,
        "Broad",
        monthly_price="1234567.89",
        included_units="12345678901234",
        overage_unit_price="1234.5678",
    )
    make(site, "A" + "W" * 59, currency="JPY", monthly_price="123456789012345678")
    page = signed_in
    page.set_viewport_size({"width": width, "height": 800})
    page.goto("/plans")
    expect(card(page, "Broad")).to_contain_text("$1,234,567.89")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    cut = "it => [...it.querySelectorAll('dd, .text-2xl')].filter(each => each.scrollWidth > each.clientWidth + 1 && getComputedStyle(each).display !== 'inline').map(each => each.innerText)"
    assert card(page, "Broad").evaluate(cut) == []


def test_clicking_save_repeatedly_creates_one_version(authenticated: Page, site: Site) -> None:
    make(site, "Again")
    page = authenticated
    page.goto("/plans")
    choose(page, "Again", "New version")
    fill(page, Monthly_price="11")
    page.get_by_role("button", name="Create version").evaluate("it => { it.click(); it.click(); it.click() }")
    expect(card(page, "Again")).to_contain_text("Version 2")
    assert versions(site, "Again") == [2, 1]


def test_archiving_asks_for_confirmation(authenticated: Page, site: Site) -> None:
    make(site, "Dusk")
    page = authenticated
    page.goto("/plans")
    choose(page, "Dusk", "Archive plan")
    expect(page.get_by_role("button", name="Cancel")).to_be_focused()
    assert found_by_axe(page) == []
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Actions for Dusk")).to_be_focused()
    choose(page, "Dusk", "Archive plan")
    expect(dialog(page)).to_contain_text("Archive Dusk, version 1?")
    page.get_by_role("button", name="Archive plan", exact=True).click()
    expect(page.get_by_text("Dusk, version 1 archived")).to_be_visible()
    expect(card(page, "Dusk")).to_have_count(0)
    page.get_by_role("link", name="Archived").click()
    expect(page).to_have_url(re.compile(r"\?show=archived$"))
    expect(card(page, "Dusk")).to_contain_text("Archived")
    page.get_by_role("button", name="Actions for Dusk").click()
    expect(page.get_by_role("menuitem")).to_have_text(["New version"])
    page.keyboard.press("Escape")
    page.go_back()
    expect(card(page, "Growth")).to_be_visible()
    expect(card(page, "Dusk")).to_have_count(0)


def test_menu_is_navigated_by_keyboard(authenticated: Page, site: Site) -> None:
    make(site, "Keyboard")
    page = authenticated
    page.goto("/plans")
    page.get_by_role("button", name="Actions for Keyboard").focus()
    page.keyboard.press("Enter")
    items = page.get_by_role("menuitem")
    expect(items.first).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(items.last).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(dialog(page)).to_contain_text("New version of Keyboard")


def test_finance_user_sees_plans_without_actions(page: Page, sign_in: Callable[..., None]) -> None:
    sign_in(FINANCE, at="/login?next=/plans")
    expect(card(page, "Growth")).to_contain_text("$29.00")
    expect(page.get_by_text("Read-only")).to_be_visible()
    expect(page.get_by_role("button", name="New plan")).to_have_count(0)
    expect(page.get_by_role("button", name=re.compile("Actions for"))).to_have_count(0)


def test_billing_user_sees_the_actions(page: Page, sign_in: Callable[..., None]) -> None:
    sign_in(BILLING, at="/login?next=/plans")
    expect(page.get_by_role("button", name="New plan")).to_be_visible()
    expect(page.get_by_role("button", name="Actions for Growth", exact=True)).to_be_visible()


def test_curve_can_be_shown_as_a_table(authenticated: Page) -> None:
    authenticated.goto("/plans")
    growth = card(authenticated, "Growth")
    expect(growth.locator("[data-drawing] polyline")).to_be_visible()
    expect(growth.get_by_role("table")).to_have_count(0)
    growth.get_by_role("button", name="Show as a table").click()
    expect(growth.get_by_role("row")).to_have_text(
        ["UnitsMonthly cost", "0$29.00", "1,000$29.00", "2,000$41.50", "3,000$54.00"]
    )
    expect(growth.locator("[data-drawing] polyline")).to_be_hidden()


def test_hovering_over_the_curve_shows_the_nearest_point(authenticated: Page) -> None:
    authenticated.goto("/plans")
    drawing = card(authenticated, "Growth").locator("[data-drawing]")
    cost = drawing.get_by_text("Monthly cost : $54.00")
    expect(drawing).to_contain_text("$30")
    expect(cost).to_be_hidden()
    drawing.get_by_text("3K", exact=True).hover()
    expect(cost).to_be_visible()


def test_card_links_to_the_customers_of_the_plan(authenticated: Page) -> None:
    page = authenticated
    page.goto("/plans")
    card(page, "Growth").get_by_role("link", name=re.compile("[0-9]+ customers")).click()
    page.wait_for_url("**/customers?plan=*")
    expect(page.locator("form[role=search] input[name=plan]")).to_have_value(re.compile(", version [0-9]+$"))
    expect(page.get_by_role("link", name="Acme Industrial Supply")).to_be_visible()


def test_invalid_page_shows_an_error_with_a_retry_button(authenticated: Page) -> None:
    authenticated.goto("/plans?page=nonsense")
    expect(authenticated.get_by_role("heading", name="This page could not be loaded")).to_be_visible()
    expect(authenticated.get_by_role("button", name="Try again")).to_be_visible()
