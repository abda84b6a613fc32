"""The dialog for a new customer creates only one, however often it is sent."""

from __future__ import annotations

from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM
from billing_app.services.customers import customers
from billing_app.state.pages.customers import _create_once
from tests.factories import make_plan


def test_dialog_sent_again_returns_the_customer_it_created(database: Database) -> None:
    details = {"name": "Acme", "email": "ap@acme.example", "plan_id": make_plan(database).plan_id}
    answers = []
    for name in ("Acme", "Acme", "Acme Ltd"):
        with database.transaction(SYSTEM) as session:
            answers.append(_create_once(session, SYSTEM, "page-1", **details | {"name": name}))
    assert set(answers) == {("Acme", "acme")}
    with database.transaction(SYSTEM) as session:
        assert customers.count_customers(session, SYSTEM) == 1
        other = _create_once(session, SYSTEM, "page-2", **details | {"email": "other@acme.example"})
    assert other.key == "acme-2"
