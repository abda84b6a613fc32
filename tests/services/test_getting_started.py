"""The guide for a new installation: steps are ticked automatically, and each user can close it."""

from __future__ import annotations

from datetime import date

import pytest

from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM, Actor, Role
from billing_app.services.dashboard.getting_started import (
    GettingStarted,
    dismiss_getting_started,
    get_getting_started,
)
from billing_app.services.invoices.issuer import update_issuer
from tests.factories import actor_of, make_customer, make_invoice, make_plan, make_user, record
from tests.refusals import refused

pytestmark = pytest.mark.usefixtures("fast_hashes")


def progress(database: Database, actor: Actor = SYSTEM) -> GettingStarted:
    with database.transaction(actor) as session:
        return get_getting_started(session, actor)


def fill_in_company_details(database: Database) -> None:
    with database.transaction(SYSTEM) as session:
        update_issuer(
            session, SYSTEM, name="Tallybook Ltd", address="1 Ledger Lane", email="billing@tallybook.test",
            payment_instructions="",
        )  # fmt: skip


@pytest.mark.usefixtures("no_issuer")
def test_each_step_is_ticked_by_what_exists(database: Database) -> None:
    assert progress(database) == GettingStarted(False, False, False, False, False, False, "")
    fill_in_company_details(database)
    assert progress(database).has_company_details
    plan = make_plan(database)
    assert (progress(database).has_plan, progress(database).has_customer) == (True, False)
    customer = make_customer(database, plan, key="acme", start=date(2026, 10, 1))
    make_customer(database, plan, key="aaa")
    assert (progress(database).has_customer, progress(database).example_customer) == (True, "acme")
    record(database, customer, 1, "2026-10-31T00:00:00Z")
    assert (progress(database).has_usage, progress(database).is_complete) == (True, False)
    make_invoice(database, customer)
    assert (progress(database).has_invoice, progress(database).is_complete) == (True, True)


def test_guide_is_closed_for_one_user_alone(database: Database) -> None:
    ada, bea = (actor_of(make_user(database, role)) for role in (Role.ADMIN, Role.BILLING))
    for _ in range(2):
        with database.transaction(ada) as session:
            dismiss_getting_started(session, ada)
    assert progress(database, ada).is_dismissed
    assert not progress(database, bea).is_dismissed


def test_users_who_cannot_do_the_steps_cannot_close_the_guide(database: Database) -> None:
    finance = actor_of(make_user(database, Role.FINANCE))
    assert not progress(database, finance).is_dismissed
    for actor in (finance, SYSTEM):
        with refused("forbidden"), database.transaction(actor) as session:
            dismiss_getting_started(session, actor)
