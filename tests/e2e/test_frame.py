"""The frame of every page: the customer search, filters in the address, and the browser history."""

from __future__ import annotations

import re

import httpx
from playwright.sync_api import Page, expect

from billing_app.server import page_build
from tests.e2e.conftest import Site


def test_customer_is_found_from_any_page(authenticated: Page) -> None:
    page = authenticated
    page.goto("/plans")
    expect(page.get_by_role("article").first).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("quiet")
    page.keyboard.press("Enter")
    page.wait_for_url("**/customers?search=quiet")
    expect(page.get_by_role("searchbox")).to_have_count(1)
    expect(page.get_by_role("searchbox")).to_have_value("quiet")
    expect(page.locator("tbody tr")).to_have_count(1)


def test_customer_is_found_from_the_drawer(signed_in: Page) -> None:
    page = signed_in
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto("/plans")
    page.get_by_role("button", name="Open navigation").click()
    page.locator("#navigation").get_by_role("searchbox").fill("acme")
    page.keyboard.press("Enter")
    page.wait_for_url("**/customers?search=acme")
    expect(page.locator("#navigation")).to_be_hidden()
    expect(page.get_by_role("link", name="Acme Industrial Supply")).to_be_visible()


def test_selected_filter_is_a_history_entry(signed_in: Page) -> None:
    page = signed_in
    status = page.get_by_label("Status")
    page.get_by_role("searchbox").fill("branch")
    expect(page).to_have_url(re.compile(r"\?search=branch$"))
    status.select_option("Suspended")
    expect(page).to_have_url(re.compile(r"\?search=branch&status=suspended$"))
    expect(page.get_by_text("No customer matches")).to_be_visible()
    page.reload()
    expect(status).to_have_value("suspended")
    expect(page.get_by_role("searchbox")).to_have_value("branch")
    page.go_back()
    expect(status).to_have_value("")
    expect(page.locator("tbody tr")).to_have_count(25)
    page.get_by_role("link", name="Next").click()
    expect(page.locator("tbody tr")).to_have_count(5)
    expect(page).to_have_url(re.compile(r"\?search=branch&page="))


def test_filters_are_cleared_from_an_empty_list(signed_in: Page) -> None:
    page = signed_in
    page.get_by_role("searchbox").fill("no such customer")
    page.get_by_role("link", name="Show all customers").click()
    expect(page.locator("tbody tr")).to_have_count(25)
    expect(page.get_by_role("searchbox")).to_have_value("")


def test_production_does_not_serve_the_design_page(site: Site) -> None:
    assert not list((page_build.ensure_built().path / "build" / "client").rglob("*design*"))
    assert httpx.get(f"{site.url}/design").status_code == 404


def test_text_typed_while_results_arrive_is_searched_for(signed_in: Page) -> None:
    search = signed_in.get_by_label("Search customers")
    search.fill("branch")
    expect(signed_in).to_have_url(re.compile(r"\?search=branch$"))
    # The results of the previous search arrive right after typing.
    search.evaluate(
        """(field) => {
          field.value = "branch 07"
          field.dispatchEvent(new Event("input", { bubbles: true }))
          tallybook.arrived((address) => location.assign(address))
        }"""
    )
    expect(signed_in).to_have_url(re.compile(r"\?search=branch\+07$"))
