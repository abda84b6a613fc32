from __future__ import annotations

from datetime import date
from typing import Any

import psycopg
import pytest

from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM
from billing_app.jobs.invoice_runs import run_invoices
from billing_app.services.invoices import invoices, issuer
from billing_app.services.invoices.runs import list_runs
from billing_app.services.usage import recording
from tests.conftest import Clock
from tests.factories import make_customer, make_invoice
from tests.races import codes, overlap
from tests.refusals import refused

OCTOBER = date(2026, 10, 1)
DETAILS = {
    "name": "Tally Ltd",
    "address": "1 High Street\nTown",
    "email": "billing@tally.example",
    "payment_instructions": "IBAN GB00",
}


def update(database: Database, **changes: Any) -> issuer.IssuerRow:
    with database.transaction(SYSTEM) as session:
        return issuer.update_issuer(session, SYSTEM, **{**DETAILS, **changes})


def test_issuer_is_what_was_last_saved(database: Database, no_issuer: None) -> None:
    with database.transaction(SYSTEM) as session:
        assert issuer.get_issuer(session, SYSTEM) == issuer.IssuerRow("", "", "", "", 1)
    changed = update(database, name=" Tally Ltd ")
    assert changed == issuer.IssuerRow(**DETAILS, version=2)
    assert update(database).version == 2


def test_invoice_keeps_its_copy_of_the_issuer(database: Database, clock: Clock) -> None:
    update(database)
    number = make_invoice(database, period=date(2026, 10, 1)).number
    update(database, name="Another Ltd")
    with database.transaction(SYSTEM) as session:
        assert invoices.get_invoice(session, SYSTEM, number).issuer.name == "Tally Ltd"


def test_second_change_of_the_same_version_is_stale(database: Database) -> None:
    outcome = overlap(
        database,
        lambda session: issuer.update_issuer(session, SYSTEM, **DETAILS, version=1),
        lambda session: issuer.update_issuer(session, SYSTEM, **{**DETAILS, "name": "B"}, version=1),
    )
    assert outcome.second_waited
    assert codes([outcome.second]) == ["stale"]
    assert outcome.second.facts["newer"]["name"] == "Tally Ltd"


def test_invalid_field_is_named(database: Database, subtests: pytest.Subtests) -> None:
    for changes, field in [
        ({"name": " "}, "name"),
        ({"name": None}, "name"),
        ({"email": "missing"}, "email"),
        ({"address": "a\0"}, "address"),
        ({"address": "\n"}, "address"),
        ({"payment_instructions": "x" * 1001}, "payment_instructions"),
    ]:
        with subtests.test(**changes), refused("invalid", field=field):
            update(database, **changes)


def test_first_invoice_is_refused_without_an_issuer(database: Database, no_issuer: None) -> None:
    customer = make_customer(database, start=OCTOBER)
    with refused("issuer_incomplete"):
        make_invoice(database, customer, OCTOBER)
    # The refusal did not close October: usage in it is still billed in it.
    with database.transaction(SYSTEM) as session:
        report = recording.UsageReport(customer.key, "k1", 5, "2026-10-20T00:00:00Z")
        assert recording.record_usage(session, SYSTEM, report).event.billing_period == OCTOBER
    update(database)
    assert make_invoice(database, customer, OCTOBER).issuer.name == "Tally Ltd"


@pytest.mark.parametrize("missing", ["name", "address"])
def test_invoice_needs_both_name_and_address(
    database: Database, owner: psycopg.Connection, missing: str
) -> None:
    owner.execute(f"UPDATE issuer SET {missing} = ''")  # type: ignore[arg-type]
    with refused("issuer_incomplete"):
        make_invoice(database)


def test_run_is_refused_at_the_start_without_an_issuer(database: Database, no_issuer: None) -> None:
    make_customer(database, start=OCTOBER)
    with refused("issuer_incomplete"):
        run_invoices(database, SYSTEM, OCTOBER)
    with database.transaction(SYSTEM) as session:
        assert list_runs(session, SYSTEM).items == ()
