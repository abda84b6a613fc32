"""The invoices for a year of real usage: 328,521 flights of 16 airlines.

The data is in the public domain (see tests/data). The expected invoices were computed independently, with
exact decimals.
"""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from billing_app.database.embedded import cluster
from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM
from billing_app.domain.money import major_text
from billing_app.domain.periods import label, parse_period
from billing_app.jobs.file_import import ImportSummary, import_usage, open_checked_file
from billing_app.jobs.invoice_runs import run_invoices
from billing_app.jobs.verification import verify
from billing_app.services.customers.customers import create_customer
from billing_app.services.customers.subscriptions import set_plan
from billing_app.services.invoices.filters import InvoiceFilter
from billing_app.services.invoices.invoices import get_invoice, list_invoices
from billing_app.services.plans.plans import create_plan
from tests.billing.shop import usage_month
from tests.conftest import Clock, new_database

DATA = Path(__file__).parent.parent / "data"
FLIGHTS = DATA / "flights_2013.csv.gz"
EVENTS = 328_521
GOLDEN: dict[str, Any] = json.loads((DATA / "flights_2013_invoices.json").read_text())
MONTHS = [date(2013, month, 1) for month in range(1, 13)]


@pytest.fixture(scope="module", params=["on_time", "late"])
def billed(request: pytest.FixtureRequest, server: cluster.Server) -> Iterator[tuple[str, Database, str]]:
    """Import and invoice the year in one of two scenarios. Return its name, its database and its owner's URL."""
    with new_database(server) as urls:
        database = Database(urls.application, clock=Clock(datetime(2014, 2, 1, tzinfo=UTC)))
        open_accounts(database)
        if request.param == "late":
            invoice_with_late_events(
                database, Path(str(request.getfixturevalue("tmp_path_factory").mktemp("csv")))
            )
        else:
            import_flights(database, FLIGHTS)
            invoice(database, MONTHS)
        yield request.param, database, urls.owner.replace("+psycopg", "")
        database.close()


def open_accounts(database: Database) -> None:
    names = {row["key"]: row["name"] for row in csv.DictReader((DATA / "airlines.csv").open())}
    with database.transaction(SYSTEM) as session:
        plans = {plan["name"]: create_plan(session, SYSTEM, **plan).plan_id for plan in GOLDEN["plans"]}
        for customer in GOLDEN["customers"]:
            key = customer["key"]
            create_customer(
                session, SYSTEM, key=key, name=names[key], email=f"{key}@example.com",
                plan_id=plans[customer["plan"]], start=parse_period(customer["start_period"]),
            )  # fmt: skip
            for change in customer["changes"]:
                set_plan(
                    session, SYSTEM, key, plan_id=plans[change["plan"]],
                    effective_from=parse_period(change["effective_from"]),
                )  # fmt: skip


def import_flights(database: Database, path: Path) -> ImportSummary:
    rejected: list[object] = []
    with open_checked_file(path) as file:
        summary = import_usage(database, SYSTEM, file, on_rejected=rejected.append)
    assert rejected == []
    return summary


def invoice(database: Database, months: list[date]) -> None:
    for month in months:
        run = run_invoices(database, SYSTEM, month)
        assert (run.created, run.failed, run.status) == (16, 0, "done")


def invoice_with_late_events(database: Database, folder: Path) -> None:
    """Import some events of January to June after June is invoiced and before July is."""
    in_time, late = folder / "in_time.csv", folder / "late.csv"
    with gzip.open(FLIGHTS, "rt") as source, in_time.open("w") as first, late.open("w") as second:
        header = next(source)
        first.write(header)
        second.write(header)
        for line in source:
            _, key, _, occurred_at = line.split(",")
            is_late = zlib.crc32(key.encode()) % 37 == 0 and occurred_at < "2013-07"
            (second if is_late else first).write(line)
    import_flights(database, in_time)
    invoice(database, MONTHS[:6])
    import_flights(database, late)
    invoice(database, MONTHS[6:])


def stored_invoices(database: Database) -> dict[str, list[dict[str, Any]]]:
    """Return all invoices in the form of the golden file."""
    found: dict[str, list[dict[str, Any]]] = {}
    with database.transaction(SYSTEM) as session:
        for customer in GOLDEN["customers"]:
            rows = list_invoices(session, SYSTEM, InvoiceFilter(customer=customer["key"])).items
            whole = [get_invoice(session, SYSTEM, row.number) for row in reversed(rows)]
            assert all(each.chain_ok for each in whole)
            found[customer["key"]] = [as_golden(each) for each in whole]
    return found


def as_golden(invoice: Any) -> dict[str, Any]:
    lines = [
        {
            "kind": line.kind,
            "usage_period": usage_month(line),
            "quantity": None if line.quantity is None else str(int(line.quantity)),
            "amount": major_text(line.amount_minor, invoice.currency),
            **({"overage_quantity": str(int(line.billed_quantity))} if line.kind == "overage" else {}),
        }
        for line in invoice.lines
    ]
    return {
        "period": label(invoice.period_start),
        "currency": invoice.currency,
        "lines": sorted(lines, key=line_order),
        "total": major_text(invoice.total_minor, invoice.currency),
    }


def line_order(line: dict[str, Any]) -> tuple[str, str]:
    return line["usage_period"] or "", line["kind"]


def test_every_line_and_total_is_as_expected(billed: tuple[str, Database, str]) -> None:
    scenario, database, _ = billed
    expected = {
        key: [{**each, "lines": sorted(each["lines"], key=line_order)} for each in invoices]
        for key, invoices in GOLDEN[scenario].items()
    }
    found = stored_invoices(database)
    assert found == expected
    grand_total = sum(Decimal(each["total"]) for invoices in found.values() for each in invoices)
    assert str(grand_total) == GOLDEN[f"{scenario}_grand_total"] == "462376.40"


def test_importing_the_file_again_records_nothing(billed: tuple[str, Database, str]) -> None:
    _, database, _ = billed
    summary = import_flights(database, FLIGHTS)
    assert (summary.rows, summary.recorded, summary.duplicates) == (EVENTS, 0, EVENTS)


def test_verification_accounts_for_every_event(billed: tuple[str, Database, str]) -> None:
    _, database, _ = billed
    report = verify(database, SYSTEM)
    assert report.ok, report.discrepancies
    checked = report.checked
    assert (checked.events, checked.events_billed_once, checked.events_open) == (EVENTS, EVENTS - 85, 85)
    assert (checked.events_billed_twice, checked.events_missing) == (0, 0)
    assert (checked.invoices, checked.usage_months) == (192, 192)


def test_verification_finds_an_invoice_whose_line_was_changed(billed: tuple[str, Database, str]) -> None:
    _, database, owner_url = billed
    # Constraints apply even without triggers, so the change must be consistent.
    change = (
        "UPDATE invoice_line SET rated_minor = rated_minor + %(by)s, amount_minor = amount_minor + %(by)s,"
        " exact_amount = exact_amount + %(by)s / 100.0, monthly_price_minor = monthly_price_minor + %(by)s"
        " WHERE period_start = '2013-05-01' AND kind = 'base'"
        " AND customer_id = (SELECT customer_id FROM customer WHERE key = 'UA')"
    )
    with psycopg.connect(owner_url, autocommit=True) as owner:
        owner.execute("ALTER TABLE invoice_line DISABLE TRIGGER USER")
        owner.execute(change, {"by": 1})
        report = verify(database, SYSTEM)
        owner.execute(change, {"by": -1})
        owner.execute("ALTER TABLE invoice_line ENABLE TRIGGER USER")
    assert not report.ok
    assert report.discrepancies
    # The sum of what was charged for the month is wrong too, which concerns the customer.
    assert {each.subject.invoice for each in report.discrepancies} == {"UA-0005", None}
    assert {each.subject.customer.key for each in report.discrepancies if each.subject.customer} == {"UA"}
    assert verify(database, SYSTEM).ok
