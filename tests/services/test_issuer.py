from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM
from billing_app.services.invoices import invoices, issuer
from tests.conftest import Clock
from tests.factories import make_invoice
from tests.races import codes, overlap
from tests.refusals import refused

DETAILS = {
    "name": "Tally Ltd",
    "address": "1 High Street\nTown",
    "email": "billing@tally.example",
    "payment_instructions": "IBAN GB00",
}


def update(database: Database, **changes: Any) -> issuer.IssuerRow:
    with database.transaction(SYSTEM) as session:
        return issuer.update_issuer(session, SYSTEM, **{**DETAILS, **changes})


def test_the_issuer_is_what_was_last_said(database: Database) -> None:
    with database.transaction(SYSTEM) as session:
        assert issuer.get_issuer(session, SYSTEM) == issuer.IssuerRow("", "", "", "", 1)
    changed = update(database, name=" Tally Ltd ")
    assert changed == issuer.IssuerRow(**DETAILS, version=2)
    assert update(database).version == 2


def test_an_invoice_keeps_the_issuer_it_was_made_with(database: Database, clock: Clock) -> None:
    update(database)
    number = make_invoice(database, period=date(2026, 10, 1)).number
    update(database, name="Another Ltd")
    with database.transaction(SYSTEM) as session:
        assert invoices.get_invoice(session, SYSTEM, number).issuer.name == "Tally Ltd"


def test_of_two_changes_of_one_version_one_is_stale(database: Database) -> None:
    outcome = overlap(
        database,
        lambda session: issuer.update_issuer(session, SYSTEM, **DETAILS, version=1),
        lambda session: issuer.update_issuer(session, SYSTEM, **{**DETAILS, "name": "B"}, version=1),
    )
    assert outcome.second_waited
    assert codes([outcome.second]) == ["stale"]
    assert outcome.second.facts["newer"]["name"] == "Tally Ltd"


def test_a_wrong_field_is_named(database: Database, subtests: pytest.Subtests) -> None:
    for changes, field in [
        ({"name": " "}, "name"),
        ({"name": None}, "name"),
        ({"email": "nobody"}, "email"),
        ({"address": "a\0"}, "address"),
        ({"payment_instructions": "x" * 1001}, "payment_instructions"),
    ]:
        with subtests.test(**changes), refused("invalid", field=field):
            update(database, **changes)
