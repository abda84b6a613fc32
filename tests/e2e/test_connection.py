"""Lost connections, server restarts and blocked websockets: typed text is never lost."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import date

import pytest
from playwright.sync_api import Locator, Page, WebSocketRoute, expect

from billing_app.domain.actor import SYSTEM
from billing_app.services.customers.customers import get_customer
from billing_app.services.payments.payments import PaymentRow, list_payments
from tests.e2e.business import ADMIN, PASSWORD
from tests.e2e.conftest import START_SECONDS_MAX, Site, serving_process
from tests.factories import make_customer, make_invoice

pytestmark = pytest.mark.usefixtures("today")

LOST = "The connection to the server is lost"
UNANSWERED = "This may or may not have been saved"
SOCKET = re.compile("/_event")
OCTOBER = date(2026, 10, 1)
RESTART_MS = START_SECONDS_MAX * 1000


class Wire:
    """The websockets of a page, which can be cut, kept disconnected, or made to drop responses."""

    def __init__(self, page: Page) -> None:
        self.sockets: list[WebSocketRoute] = []
        self.is_down = False
        self.holds_answers = False
        page.route_web_socket(SOCKET, self._carry)

    def _carry(self, route: WebSocketRoute) -> None:
        if self.is_down:
            route.close()
            return
        self.sockets.append(route)
        server = route.connect_to_server()
        server.on_message(lambda message: None if self.holds_answers else route.send(message))

    def cut(self) -> None:
        """Close the current connection without notice."""
        self.sockets[-1].close()


@pytest.fixture
def wire(page: Page) -> Wire:
    return Wire(page)


def open_dialog(page: Page, address: str, button: str) -> Locator:
    page.goto(address)
    page.get_by_role("button", name=button).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    return dialog


@pytest.fixture
def number(site: Site, request: pytest.FixtureRequest) -> str:
    """Return the number of an invoice over $29.00, of a customer that only this test uses."""
    key = request.node.name.replace("_", "-")[5:55].rstrip("-")
    made = make_customer(site.database, key=key, email=f"{key}@cut.test", start=OCTOBER)
    return make_invoice(site.database, made, OCTOBER).number


def payments_with(site: Site, number: str, reference: str) -> list[PaymentRow]:
    with site.database.transaction(SYSTEM) as session:
        found = list_payments(session, SYSTEM, number).items
    return [payment for payment in found if payment.reference == reference]


def customer_named(site: Site, key: str) -> str:
    with site.database.transaction(SYSTEM) as session:
        return get_customer(session, SYSTEM, key).name


def wait_until(is_so: Callable[[], object], seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.05)


def fill_payment(page: Page, number: str, reference: str) -> Locator:
    dialog = open_dialog(page, f"/invoices/{number}", "Record payment")
    dialog.get_by_label("Amount").fill("1.00")
    dialog.get_by_label("Received on").fill(date(2026, 11, 2).isoformat())
    dialog.get_by_label("Reference").fill(reference)
    return dialog


def test_lost_connection_is_shown_and_typed_text_is_kept(wire: Wire, signed_in: Page) -> None:
    page = signed_in
    dialog = open_dialog(page, "/customers/acme", "Record usage")
    dialog.get_by_label("Quantity").fill("5")
    wire.is_down = True
    wire.cut()
    expect(page.get_by_text(LOST)).to_be_visible(timeout=30_000)
    wire.is_down = False
    expect(page.get_by_text(LOST)).to_be_hidden(timeout=30_000)
    expect(dialog.get_by_label("Quantity")).to_have_value("5")
    dialog.get_by_role("button", name="Record usage").click()
    expect(page.get_by_text("5 units recorded, billed in")).to_be_visible()


def test_form_sent_while_the_connection_is_down_is_saved_later(wire: Wire, signed_in: Page) -> None:
    page = signed_in
    dialog = open_dialog(page, "/customers/acme", "Record usage")
    dialog.get_by_label("Quantity").fill("6")
    wire.is_down = True
    wire.cut()
    expect(page.get_by_text(LOST)).to_be_visible(timeout=30_000)
    dialog.get_by_role("button", name="Record usage").click()
    expect(dialog).to_contain_text("The server can't be reached. This will be sent when it is back.")
    wire.is_down = False
    expect(page.get_by_text("6 units recorded, billed in")).to_be_visible(timeout=30_000)
    expect(dialog).to_be_hidden()


def test_form_is_sent_again_if_its_response_was_lost(
    wire: Wire, signed_in: Page, site: Site, number: str
) -> None:
    page = signed_in
    dialog = fill_payment(page, number, "cut on the way")
    wire.holds_answers = True
    dialog.get_by_role("button", name="Record payment").click()
    wait_until(lambda: payments_with(site, number, "cut on the way"))
    wire.is_down = True
    wire.cut()
    expect(dialog).to_contain_text(UNANSWERED)
    expect(dialog.get_by_role("button", name="Record payment")).not_to_have_attribute("aria-busy", "true")
    wire.is_down = wire.holds_answers = False
    expect(page.get_by_text(f"Payment of $1.00 recorded on {number}")).to_be_visible(timeout=30_000)
    expect(dialog).to_be_hidden()
    assert len(payments_with(site, number, "cut on the way")) == 1


def test_repeated_change_is_not_mistaken_for_another_users(wire: Wire, signed_in: Page, site: Site) -> None:
    page = signed_in
    dialog = open_dialog(page, "/customers/branch-30", "Edit customer")
    dialog.get_by_label("Name").fill("Branch thirty")
    wire.holds_answers = True
    dialog.get_by_role("button", name="Save").click()
    wait_until(lambda: customer_named(site, "branch-30") == "Branch thirty")
    wire.is_down = True
    wire.cut()
    expect(dialog).to_contain_text(UNANSWERED)
    wire.is_down = wire.holds_answers = False
    expect(dialog).to_be_hidden(timeout=30_000)
    expect(page.get_by_role("heading", name="Branch thirty")).to_be_visible()


def test_forms_survive_a_restart_and_take_effect_once(
    wire: Wire, signed_in: Page, site: Site, number: str
) -> None:
    page = signed_in
    dialog = fill_payment(page, number, "answer never came")
    second, third = page.context.new_page(), page.context.new_page()
    edit = open_dialog(second, "/customers/quiet", "Edit customer")
    edit.get_by_label("Name").fill("")
    edit.get_by_label("Email").fill("typed@quiet.test")
    third.goto("/settings")
    third.get_by_label("Address").fill("Typed before the restart")

    wire.holds_answers = True
    dialog.get_by_role("button", name="Record payment").click()
    wait_until(lambda: payments_with(site, number, "answer never came"))
    serving_process(site.url).kill()
    expect(dialog).to_contain_text(UNANSWERED)
    wire.holds_answers = False

    # Its supervisor starts a new one.
    expect(page.get_by_text(f"Payment of $1.00 recorded on {number}")).to_be_visible(timeout=RESTART_MS)
    expect(dialog).to_be_hidden()
    assert len(payments_with(site, number, "answer never came")) == 1

    expect(second.get_by_text(LOST)).to_be_hidden(timeout=RESTART_MS)
    expect(edit.get_by_label("Email")).to_have_value("typed@quiet.test")
    edit.get_by_role("button", name="Save").click()
    expect(edit.get_by_label("Name")).to_have_accessible_description("Must not be empty.")
    edit.get_by_label("Name").fill("Quiet Corner")
    edit.get_by_label("Email").fill("hello@quiet.test")
    edit.get_by_role("button", name="Save").click()
    expect(edit).to_be_hidden()

    expect(third.get_by_text(LOST)).to_be_hidden(timeout=RESTART_MS)
    expect(third.get_by_label("Address")).to_have_value("Typed before the restart")


def test_escape_asks_before_typed_text_is_discarded(signed_in: Page) -> None:
    page = signed_in
    dialog = open_dialog(page, "/customers/acme", "Record usage")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.get_by_role("button", name="Record usage").click()
    dialog.get_by_label("Quantity").fill("8")
    page.keyboard.press("Escape")
    expect(dialog.get_by_text("Discard what you entered?")).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog.get_by_text("Discard what you entered?")).to_be_hidden()
    expect(dialog.get_by_label("Quantity")).to_have_value("8")
    dialog.get_by_role("button", name="Close").click()
    dialog.get_by_role("button", name="Keep editing").click()
    expect(dialog.get_by_label("Quantity")).to_have_value("8")
    page.keyboard.press("Escape")
    dialog.get_by_role("button", name="Discard").click()
    expect(dialog).to_be_hidden()
    page.get_by_role("button", name="Record usage").click()
    expect(dialog.get_by_label("Quantity")).to_have_value("")
    dialog.get_by_label("Quantity").fill("9")
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_be_hidden()


def test_blocked_websockets_are_explained(page: Page, site: Site) -> None:
    page.route_web_socket(SOCKET, lambda route: route.close())
    page.request.post(f"{site.url}/api/v1/auth/session", data={"email": ADMIN, "password": PASSWORD})
    page.goto("/customers")
    expect(page.get_by_role("alert").filter(visible=True)).to_contain_text("WebSocket", timeout=30_000)
    expect(page.get_by_text("Loading")).to_be_hidden()
