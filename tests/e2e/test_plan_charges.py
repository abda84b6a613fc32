"""The dialog of a plan with charges: models, tiers, and examples that follow what is typed."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, Page, expect

from billing_app.domain.actor import SYSTEM
from billing_app.services.plans import plans
from billing_app.services.plans.charges import ChargeTerms, TierTerms
from billing_app.services.plans.rows import PlanRow
from tests.e2e.conftest import Site
from tests.e2e.test_look import found_by_axe
from tests.e2e.test_plans_page import card, choose, dialog, fill


def newest(site: Site, name: str) -> PlanRow:
    with site.database.transaction(SYSTEM) as session:
        return plans.find_plans(session, SYSTEM, name=name)[0]


def open_models(page: Page, name: str) -> None:
    """Open the dialog of a new plan and show the price models."""
    page.goto("/plans")
    page.get_by_role("button", name="New plan").click()
    fill(page, Name=name, Monthly_price="0", Included_units="10", Overage_price="2")
    dialog(page).get_by_role("button", name="More pricing options").click()
    expect(dialog(page).get_by_label("Price model")).to_be_visible()


def tier(page: Page, number: int) -> Locator:
    return dialog(page).get_by_role("group", name=f"Tier {number}", exact=True)


def test_typed_terms_are_kept_when_the_models_are_shown(authenticated: Page) -> None:
    page = authenticated
    open_models(page, "Kept")
    expect(dialog(page).get_by_label("Included units")).to_have_value("10")
    expect(dialog(page).get_by_label("Overage price")).to_have_value("2")
    expect(dialog(page).get_by_text("20 units")).to_be_visible()
    expect(dialog(page).get_by_text("$20.00")).to_be_visible()
    # There is only one meter, so there is nothing to choose.
    expect(dialog(page).get_by_label("Meter")).to_have_count(0)


def test_packages_have_a_size_and_a_price(authenticated: Page, site: Site) -> None:
    page = authenticated
    open_models(page, "Packed")
    dialog(page).get_by_label("Price model").select_option("Per package")
    fill(page, Package_size="5", Price_per_package="3")
    expect(dialog(page).get_by_text("15 units")).to_be_visible()
    page.get_by_role("button", name="Create plan").click()
    expect(card(page, "Packed")).to_contain_text("10 included units, $3.00 for each package of 5 units")
    assert newest(site, "Packed").charges[0].package_price_minor == 300


def test_tiers_are_added_removed_and_saved(authenticated: Page, site: Site) -> None:
    page = authenticated
    open_models(page, "Tiered")
    dialog(page).get_by_label("Price model").select_option("Volume tiers")
    tier(page, 1).get_by_label("Up to").fill("1000")
    tier(page, 1).get_by_label("Per unit").fill("0.02")
    tier(page, 2).get_by_label("Per unit").fill("0.015")
    expect(dialog(page).get_by_text("1,001 units")).to_be_visible()
    expect(dialog(page).get_by_text("$15.02")).to_be_visible()
    dialog(page).get_by_role("button", name="Add tier").click()
    expect(tier(page, 2).get_by_label("Per unit")).to_have_value("0.015")
    tier(page, 2).get_by_label("Up to").fill("500")
    tier(page, 3).get_by_label("Per unit").fill("0.01")
    tier(page, 3).get_by_label("Flat fee").fill("5")
    page.get_by_role("button", name="Create plan").click()
    expect(tier(page, 2).get_by_label("Up to")).to_have_accessible_description(
        "Must be greater than the upper bound of the tier before."
    )
    assert found_by_axe(page) == []
    tier(page, 2).get_by_label("Up to").fill("10000")
    page.get_by_role("button", name="Create plan").click()
    expect(card(page, "Tiered")).to_contain_text("Up to 1,000 units at $0.02 per unit")
    assert [each.flat_price_minor for each in newest(site, "Tiered").charges[0].tiers] == [0, 0, 500]


def test_next_version_starts_with_the_tiers_of_the_plan(authenticated: Page, site: Site) -> None:
    terms = [ChargeTerms("graduated", tiers=[TierTerms("0.01", "1000"), TierTerms("0.004", None, "5")])]
    with site.database.transaction(SYSTEM) as session:
        plans.create_plan(session, SYSTEM, name="Tiers to keep", monthly_price="9", charges=terms)
    page = authenticated
    page.goto("/plans")
    choose(page, "Tiers to keep", "New version")
    expect(dialog(page).get_by_label("Price model")).to_have_value("graduated")
    expect(tier(page, 1).get_by_label("Up to")).to_have_value("1000")
    expect(tier(page, 2).get_by_label("Flat fee")).to_have_value("5.00")
    dialog(page).get_by_role("button", name="Remove tier").first.click()
    expect(tier(page, 2)).to_have_count(0)
    page.get_by_role("button", name="Create version").click()
    expect(card(page, "Tiers to keep")).to_contain_text("$0.004 per unit plus $5.00")
    assert newest(site, "Tiers to keep").version == 2


@pytest.mark.parametrize("width", [320, 390, 1440])
def test_charges_fit_every_width(authenticated: Page, width: int) -> None:
    page = authenticated
    page.set_viewport_size({"width": width, "height": 900})
    open_models(page, "Narrow")
    dialog(page).get_by_label("Price model").select_option("Graduated tiers")
    expect(tier(page, 2)).to_be_visible()
    assert dialog(page).evaluate("element => element.scrollWidth <= element.clientWidth")
