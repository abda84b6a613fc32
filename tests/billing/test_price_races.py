"""Credit, plans and corrections at the same time as invoicing, with real threads and connections."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

import pytest
from sqlmodel import Session

from billing_app.database.session import Database
from billing_app.domain.actor import Actor
from billing_app.errors import BillingError
from billing_app.jobs.invoice_runs import run_invoices
from billing_app.jobs.verification import verify
from billing_app.services.adjustments.credit import apply_credit, get_credit
from billing_app.services.adjustments.one_off_items import record_item
from billing_app.services.customers.subscriptions import set_plan
from billing_app.services.invoices.filters import InvoiceFilter
from billing_app.services.invoices.invoices import get_invoice, list_invoices
from billing_app.services.usage.correction_rows import CorrectionReport
from billing_app.services.usage.corrections import correct_usage
from tests.billing.shop import Shop
from tests.conftest import Clock
from tests.races import at_once, codes

OCTOBER = date(2026, 10, 1)
CUSTOMERS = [f"c{number}" for number in range(40)]


def test_credit_applied_by_twenty_at_once_is_applied_once(shop: Shop, clock: Clock) -> None:
    shop.customer("acme", "2026-07")
    unpaid = [shop.invoice("acme", f"2026-{month:02d}").number for month in (7, 8, 9)]
    with shop.database.transaction(shop.actor) as session:
        record_item(
            session, shop.actor, "acme", description="Goodwill", unit_price="-100.00", item_date=OCTOBER,
            idempotency_key="goodwill",
        )  # fmt: skip
    assert shop.invoice("acme", "2026-10").total_minor == -7100

    def applying(number: str) -> Any:
        return lambda session: apply_credit(session, shop.actor, number)

    outcomes = at_once(shop.database, [applying(unpaid[each % 3]) for each in range(20)])
    applied = [each.amount_minor for each in outcomes if not isinstance(each, BillingError)]
    assert sorted(applied) == [1300, 2900, 2900]
    assert codes(outcomes) == ["nothing_to_apply"] * 17
    with shop.database.transaction(shop.actor) as session:
        assert get_credit(session, shop.actor, "acme").amount_minor == 0
        paid = [get_invoice(session, shop.actor, number).paid_minor for number in unpaid]
    assert sorted(paid) == [1300, 2900, 2900]
    assert verify(shop.database, shop.actor).discrepancies == []


@pytest.fixture
def busy(shop: Shop) -> Shop:
    """Customers with usage in October, and a plan that they can change to."""
    plan_id = shop.plan()
    for key in CUSTOMERS:
        shop.customer(key, "2026-10", plan_id)
        shop.use(key, "a", "1530", "2026-10-20T10:00:00Z")
    return shop


def during_a_run(database: Database, admin: Actor, works: list[Any]) -> list[Any]:
    """Invoice October for everyone while four threads do the works, each in a transaction of its own."""
    go = threading.Barrier(5)

    def do(own: list[Any]) -> list[Any]:
        go.wait(timeout=30)
        outcomes = []
        for work in own:
            try:
                outcomes.append(database.run(admin, work))
            except BillingError as refusal:
                outcomes.append(refusal)
        return outcomes

    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(do, works[number::4]) for number in range(4)]
        go.wait(timeout=30)
        run_invoices(database, admin, OCTOBER)
        return [outcome for each in running for outcome in each.result()]


def test_plan_change_during_a_run_is_billed_whole_or_refused(
    busy: Shop, database: Database, admin: Actor
) -> None:
    other = busy.plan("Other", price="99.00", unit="0.02")

    def changing(key: str) -> Any:
        def work(session: Session) -> str:
            set_plan(session, admin, key, plan_id=other, effective_from=date(2026, 10, 15))
            return key

        return work

    outcomes = during_a_run(database, admin, [changing(key) for key in CUSTOMERS])
    changed = {each for each in outcomes if isinstance(each, str)}
    assert set(codes(outcomes)) <= {"period_closed"}
    assert len(changed) + len(codes(outcomes)) == len(CUSTOMERS)
    with database.transaction(admin) as session:
        invoices = list_invoices(session, admin, InvoiceFilter(period=OCTOBER), limit=100).items
        segments = {
            each.customer.key: sum(
                line.kind == "base" for line in get_invoice(session, admin, each.number).lines
            )
            for each in invoices
        }
    assert segments == {key: 2 if key in changed else 1 for key in CUSTOMERS}
    assert verify(database, admin).discrepancies == []


def test_corrections_during_a_run_are_charged_once(
    busy: Shop, database: Database, admin: Actor, clock: Clock
) -> None:
    def correcting(key: str, number: int) -> Any:
        report = CorrectionReport(key, "a", 1000 + 10 * number, "recount", str(number))
        return lambda session: correct_usage(session, admin, report).correction

    outcomes = during_a_run(
        database, admin, [correcting(key, number) for number in range(1, 6) for key in CUSTOMERS]
    )
    assert codes(outcomes) == []
    clock.set(2026, 12)
    for key in CUSTOMERS:
        busy.invoice(key, "2026-11")
    report = verify(database, admin)
    assert (report.discrepancies, report.checked.corrections) == ([], 5 * len(CUSTOMERS))
    assert (report.checked.events_billed_once, report.checked.invoices) == (40, 80)
