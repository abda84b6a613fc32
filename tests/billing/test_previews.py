"""Previews equal the later invoice and store nothing; the usage log lists the events."""

from __future__ import annotations

from datetime import date

import psycopg

from billing_app.database.session import Database
from billing_app.domain.actor import Actor
from billing_app.services.invoices.previews import InvoicePreview, preview_invoice
from billing_app.services.usage.filters import UsageFilter
from billing_app.services.usage.log import list_usage
from tests.billing.shop import Shop
from tests.conftest import Clock
from tests.refusals import refused


def preview(shop: Shop, actor: Actor, period_start: date | None = None) -> InvoicePreview:
    with shop.database.transaction(actor) as session:
        return preview_invoice(session, actor, "acme", period_start)


def test_preview_of_an_ended_month_equals_the_invoice(
    shop: Shop, finance: Actor, clock: Clock, owner: psycopg.Connection
) -> None:
    shop.customer("acme", "2026-09")
    shop.use("acme", "a", 1500, "2026-09-10T00:00:00Z")
    shop.invoice("acme", "2026-09")
    shop.use("acme", "late", 100, "2026-09-11T00:00:00Z")
    shop.use("acme", "b", 1100, "2026-10-10T00:00:00Z")
    foreseen = preview(shop, finance, date(2026, 10, 1))
    assert owner.execute("SELECT count(*) FROM invoice").fetchone() == (1,)
    made = shop.invoice("acme", "2026-10")
    assert (foreseen.lines, foreseen.total_minor) == (made.lines, made.total_minor)
    with refused("invoice_exists") as refusal:
        preview(shop, finance, date(2026, 10, 1))
    assert refusal.value.facts["number"] == "ACME-0002"


def test_preview_defaults_to_the_current_month_even_after_an_uninvoiced_one(
    shop: Shop, finance: Actor
) -> None:
    shop.customer("acme", "2026-10")
    shop.use("acme", "a", 1500, "2026-10-10T00:00:00Z")
    shop.use("acme", "b", 1080)
    coming = preview(shop, finance)
    assert coming.period_start == date(2026, 11, 1)
    assert [(line.kind, line.amount_minor) for line in coming.lines] == [("base", 2900), ("overage", 100)]


def test_usage_log_is_filtered_by_customer_month_and_lateness(
    shop: Shop, database: Database, finance: Actor
) -> None:
    shop.customer("acme", "2026-09")
    shop.customer("globex", "2026-09")
    for number in range(5):
        shop.use("acme", f"sep{number}", 1, "2026-09-10T00:00:00Z")
        shop.use("globex", f"oct{number}", 1, f"2026-10-0{number + 1}T00:00:00Z")
    shop.invoice("acme", "2026-09")
    shop.use("acme", "late", 1, "2026-09-30T23:59:59Z")
    with database.transaction(finance) as session:
        seen, cursor = [], None
        while True:
            page = list_usage(session, finance, limit=3, cursor=cursor)
            seen += [event.idempotency_key for event in page.items]
            if not (cursor := page.next_cursor):
                break
        late = list_usage(session, finance, UsageFilter(late_only=True)).items
        september = list_usage(session, finance, UsageFilter(customer="ACME", period=date(2026, 9, 1))).items
        october = list_usage(session, finance, UsageFilter(billing_period=date(2026, 10, 1))).items
    expected = [f"oct{number}" for number in range(4, -1, -1)] + ["late"]
    assert seen == expected + [f"sep{number}" for number in range(4, -1, -1)]
    assert [event.idempotency_key for event in late] == ["late"]
    assert len(september) == 6
    assert len(october) == 6
