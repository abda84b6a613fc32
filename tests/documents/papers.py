"""Build invoices, and extract texts, fonts and positions from their PDFs."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from typing import Any

from pypdf import PageObject, PdfReader

from billing_app.documents.invoice_pdf import invoice_pdf
from billing_app.domain.invoice import (
    BilledCustomer,
    InvoiceContent,
    Issuer,
    content_sha256,
    due_date,
    invoice_number,
    payment_status,
)
from billing_app.domain.lines import Line
from billing_app.domain.terms import Plan
from billing_app.services.invoices.rows import InvoiceDetail
from tests.domain.months import late_lines_of, lines_of, per_unit

OCTOBER = date(2026, 10, 1)
ISSUED = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
DUE = date(2026, 12, 2)
AS_OF = datetime(2026, 11, 22, 12, tzinfo=UTC)

ISSUER = Issuer(
    "Tallybook Metering Ltd.",
    "12 Harbour Street\nDublin D02 X285\nIreland",
    "billing@tallybook.example",
    "Bank transfer to IBAN IE29 AIBK 9311 5212 3456 78\nPlease name the number of the invoice.",
)
CUSTOMER = BilledCustomer(
    "acme", "ACME Corporation", "accounts@acme.example", "1 Road Runner Way\nTucson, AZ 85701"
)


def plan(
    name: str = "Standard",
    currency: str = "USD",
    price_minor: int = 2900,
    included: str = "1000",
    unit: str = "0.0125",
) -> Plan:
    return Plan(1, name, 1, currency, price_minor, (per_unit(included, unit),))


def months_late(count: int, terms: Plan | None = None) -> list[Line]:
    """Return the lines for late usage of that many months before October 2026, newest first."""
    months = [date(2026 + (9 - back) // 12, (9 - back) % 12 + 1, 1) for back in range(1, count + 1)]
    return [line for each in months for line in late_lines_of(terms or plan(), "1001", "1302", each)]


def an_invoice(
    terms: Plan | None = None,
    used: str = "1530",
    *,
    late: Sequence[Line] = (),
    issuer: Issuer = ISSUER,
    customer: BilledCustomer = CUSTOMER,
    paid_minor: int = 0,
    chain_ok: bool = True,
) -> InvoiceDetail:
    """Return an invoice for October 2026, priced and hashed by the domain."""
    terms = terms or plan()
    lines = lines_of(terms, used) + tuple(late)
    total_minor = sum(line.amount_minor for line in lines)
    number, due_on = invoice_number(customer.key, 1), due_date(ISSUED)
    content = InvoiceContent(
        number, OCTOBER, terms.currency, ISSUED, due_on, issuer, customer, lines, total_minor, None
    )
    return InvoiceDetail(
        customer_id=1,
        number=number,
        period_start=OCTOBER,
        currency=terms.currency,
        total_minor=total_minor,
        paid_minor=paid_minor,
        payment_status=payment_status(total_minor, paid_minor, due_on, ISSUED.date()),
        issued_at=ISSUED,
        due_on=due_on,
        issuer=issuer,
        customer=customer,
        lines=lines,
        content_sha256=content_sha256(content),
        previous_sha256=None,
        chain_ok=chain_ok,
    )


def read(invoice: InvoiceDetail, as_of: datetime = AS_OF) -> PdfReader:
    return PdfReader(io.BytesIO(invoice_pdf(invoice, as_of=as_of)))


def pages_of(invoice: InvoiceDetail, as_of: datetime = AS_OF) -> list[str]:
    """Return the text of each page, as a reader would copy it."""
    return [page.extract_text() for page in read(invoice, as_of).pages]


def text_of(invoice: InvoiceDetail, as_of: datetime = AS_OF) -> str:
    return "\n".join(pages_of(invoice, as_of))


def unwrapped(text: str) -> str:
    """Return the text without white space, so that line breaks don't matter."""
    return re.sub(r"\s", "", text)


def fonts_of(reader: PdfReader) -> Iterator[tuple[str, Any]]:
    """Yield each font's name, without the prefix of a subset, and its descriptor."""
    for page in reader.pages:
        fonts: Any = page["/Resources"].get("/Font", {})  # type: ignore[attr-defined]
        for font in fonts.values():
            [inner] = font.get_object()["/DescendantFonts"]
            described = inner.get_object()
            name = described["/BaseFont"].removeprefix("/").partition("+")[2]
            yield name, described["/FontDescriptor"]


def places_of(page: PageObject) -> list[tuple[float, float]]:
    """Return where each piece of text begins, in millimetres from the left and the top of the page."""
    places: list[tuple[float, float]] = []

    def visit(text: str, now: list[float], matrix: list[float], font: object, size: float) -> None:
        if text.strip():
            x = matrix[4] * now[0] + now[4]
            y = matrix[5] * now[3] + now[5]
            places.append((x / 72 * 25.4, (float(page.mediabox.height) - y) / 72 * 25.4))

    page.extract_text(visitor_text=visit)
    return places
