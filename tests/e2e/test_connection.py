"""The server gone for a while, and back: said so on the page, which goes on by itself."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from tests.e2e.conftest import START_SECONDS_MAX, Site, serving_process

pytestmark = pytest.mark.usefixtures("today")

LOST = "The connection to the server is lost"


def test_a_lost_connection_is_said_and_nothing_typed_is_lost(signed_in: Page) -> None:
    page = signed_in
    connections: list[WebSocketRoute] = []
    is_down = False

    def carry(route: WebSocketRoute) -> None:
        if is_down:
            route.close()
            return
        connections.append(route)
        route.connect_to_server()

    page.route_web_socket(re.compile("/_event"), carry)
    page.goto("/customers/acme")
    page.get_by_role("button", name="Record usage").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Quantity").fill("5")
    is_down = True
    connections[-1].close()
    expect(page.get_by_text(LOST)).to_be_visible(timeout=30_000)
    is_down = False
    expect(page.get_by_text(LOST)).to_have_count(0, timeout=30_000)
    expect(dialog.get_by_label("Quantity")).to_have_value("5")
    dialog.get_by_role("button", name="Record usage").click()
    expect(page.get_by_text("5 recorded, billed in")).to_be_visible()


def test_a_server_that_was_started_again_is_said_and_the_page_goes_on(signed_in: Page, site: Site) -> None:
    page = signed_in
    page.goto("/customers/acme")
    page.get_by_role("button", name="Record usage").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Quantity").fill("7")
    serving_process(site.url).kill()
    expect(page.get_by_text(LOST)).to_be_visible()
    # Its supervisor starts another.
    expect(page.get_by_text(LOST)).to_have_count(0, timeout=START_SECONDS_MAX * 1000)
    expect(dialog).to_contain_text("The server was started again while this was open")
    expect(dialog.get_by_role("button", name="Record usage")).to_have_count(0)
    dialog.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Record usage").click()
    dialog.get_by_label("Quantity").fill("7")
    dialog.get_by_role("button", name="Record usage").click()
    expect(page.get_by_text("7 recorded, billed in")).to_be_visible()
