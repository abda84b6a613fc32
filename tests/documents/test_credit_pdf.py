"""An invoice with a total below zero, and one that is paid from credit, as PDFs."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

from billing_app.domain.lines import OneOff, one_off_line
from tests.documents.papers import ISSUER, an_invoice, read, text_of

GOODWILL = one_off_line(
    OneOff("goodwill", "Goodwill", date(2026, 10, 5), Decimal(1), Decimal("-100.00")), "USD"
)


def test_total_below_zero_is_headed_credit_and_asks_for_no_money() -> None:
    invoice = an_invoice(late=[GOODWILL])
    assert invoice.total_minor == 3563 - 10000
    text = text_of(invoice)
    for said in ("Credit ACME-0001", "$64.37 of credit", "One-off item of Oct 5, 2026", "Total −$64.37"):
        assert said in text
    for unsaid in ("Amount due", "Due date", "How to pay", *ISSUER.payment_instructions.splitlines()):
        assert unsaid not in text
    assert "Credit Nothing due" in text
    assert read(invoice).metadata.title == "Credit ACME-0001"  # type: ignore[union-attr]


def test_payment_from_credit_is_named() -> None:
    paid = replace(an_invoice(paid_minor=1200), paid_from_credit_minor=700)
    assert "$12.00 of $35.63 paid, $23.63 outstanding. $7.00 was paid from credit." in text_of(paid)
