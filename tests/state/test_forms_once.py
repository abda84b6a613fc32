"""A form takes effect once, however often the browser sends it."""

from __future__ import annotations

import json
from datetime import date

import pytest

from billing_app.database.session import Database
from billing_app.domain.actor import Actor
from billing_app.jobs.invoicing import generate_invoice
from billing_app.services.invoices.filters import InvoiceFilter
from billing_app.services.invoices.invoices import list_invoices
from billing_app.services.plans.plans import create_plan, list_plans
from billing_app.state.kit import forms
from billing_app.state.kit.forms import AlreadySaved
from tests.factories import make_customer, make_plan
from tests.refusals import refused

OCTOBER = date(2026, 10, 1)
TERMS = {
    "name": "Pro",
    "currency": "USD",
    "monthly_price": "29",
    "included_units": "0",
    "overage_unit_price": "1",
}


def sent(opened: str = "first", **typed: str) -> dict[str, str]:
    """What the browser sends from one opening of a dialog."""
    return {**typed, forms.OPENED_FORM: json.dumps({"opened": opened})}


def create(database: Database, actor: Actor, form: dict[str, str], **changes: str) -> None:
    with database.transaction(actor) as session:
        forms._call_once(session, actor, forms._request_key(form), create_plan, (), {**TERMS, **changes})


def count_plans(database: Database, actor: Actor) -> int:
    return len(database.call(actor, list_plans).items)


def test_form_sent_again_takes_effect_once(database: Database, admin: Actor) -> None:
    create(database, admin, sent(name="Pro"))
    for _ in range(2):
        with pytest.raises(AlreadySaved):
            create(database, admin, sent(name="Pro"))
    assert count_plans(database, admin) == 1


def test_other_values_another_opening_and_another_user_are_other_requests(
    database: Database, admin: Actor
) -> None:
    other = Actor("user", "usr_9", "Otto", admin.role)
    create(database, admin, sent(name="Pro"))
    create(database, admin, sent(name="Basic"), name="Basic")
    create(database, admin, sent("second", name="Pro"), name="Second")
    create(database, other, sent(name="Pro"), name="Third")
    assert count_plans(database, admin) == 4


def test_refused_form_can_be_sent_again(database: Database, admin: Actor) -> None:
    with refused("invalid", field="name"):
        create(database, admin, sent(name="Pro"), name="")
    create(database, admin, sent(name="Pro"))
    assert count_plans(database, admin) == 1


def test_invoice_of_a_form_sent_again_is_not_refused_as_already_there(
    database: Database, admin: Actor
) -> None:
    customer = make_customer(database, make_plan(database), start=OCTOBER)

    def generate(form: dict[str, str]) -> None:
        key = forms._request_key(form)
        forms._perform_once(database, admin, key, generate_invoice, (customer.key, OCTOBER), {})

    generate(sent(period="2026-10"))
    with pytest.raises(AlreadySaved):
        generate(sent(period="2026-10"))
    # A form that is opened later is a second attempt.
    with refused("invoice_exists"):
        generate(sent("second", period="2026-10"))
    with database.transaction(admin) as session:
        assert len(list_invoices(session, admin, InvoiceFilter()).items) == 1
