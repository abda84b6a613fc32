"""The corrections behind each line of an invoice: those of its meter and month, and no others."""

from __future__ import annotations

from billing_app.services.invoices.line_usage import list_invoice_corrections
from tests.billing.everything import open_business
from tests.billing.shop import Shop
from tests.conftest import Clock
from tests.refusals import refused


def test_each_line_has_the_corrections_of_its_meter_and_month(shop: Shop, clock: Clock) -> None:
    open_business(shop)
    shop.use("acme", "november", 5, "2026-11-01T10:00:00Z")
    shop.invoice("acme", "2026-10")
    for event, quantity in (("calls", 1400), ("seats", 7), ("calls", 1300), ("november", 6)):
        shop.correct("acme", event, quantity, f"{event} {quantity}")
    clock.set(2026, 12)
    november = shop.invoice("acme", "2026-11")

    def behind(line_number: int | None) -> list[str]:
        with shop.database.transaction(shop.actor) as session:
            found = list_invoice_corrections(
                session, shop.actor, november.number, line_number=line_number
            ).items
        return [each.correction_key for each in found]

    assert {
        (line.meter_code, line.usage_period and line.usage_period.month): behind(number)
        for number, line in enumerate(november.lines, 1)
        if line.meter_code
    } == {
        ("usage", 11): ["november 6"],
        ("seats", 11): [],
        ("usage", 10): ["calls 1400", "calls 1300"],
        ("seats", 10): ["seats 7"],
    }  # fmt: skip
    assert behind(None) == ["calls 1400", "calls 1300", "seats 7", "november 6"]
    with refused("line_not_found"):
        behind(1)
