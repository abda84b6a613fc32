"""The invoice as a PDF."""

from __future__ import annotations

import functools
import json
import threading
import unicodedata
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import typst
from babel.dates import format_date

from billing_app.documents.arithmetic import sentences, title
from billing_app.domain.invoice import PaymentStatus, payment_status
from billing_app.domain.rating import Line
from billing_app.services.invoices.rows import InvoiceDetail
from billing_app.wording.values import LOCALE, money, month, plan

_HERE = Path(__file__).parent
# Tagged for screen readers, and kept readable for decades: the typesetter checks both.
_STANDARDS: list[typst.PDFStandard] = ["a-2a", "ua-1"]
# They draw letters and signs as well that the fonts of one script draw better.
_LAST_FONTS = ["Droid Sans Fallback", "Noto Emoji"]
# A compiler serves one caller at a time; it takes milliseconds.
_turn = threading.Lock()

_STATUS_WORDS: dict[PaymentStatus, str] = {
    "paid": "Paid",
    "partially_paid": "Partly paid",
    "overdue": "Overdue",
    "unpaid": "Unpaid",
}


def invoice_pdf(invoice: InvoiceDetail, *, as_of: datetime) -> bytes:
    """The invoice on A4, safe to print on Letter, with its payment status on the UTC day of `as_of`.

    The same invoice, payments and day give the same bytes on every machine: all fonts are the
    package's own and embedded. It is PDF/A-2a and PDF/UA-1, unless it has a character that none of
    the fonts knows, which is shown as a box. What people wrote is only ever shown, never executed.
    Callable from any number of threads.
    """
    data = json.dumps(_document(invoice, as_of.astimezone(UTC).date()))
    try:
        return _typeset(data, _STANDARDS)
    except typst.TypstError:
        # The standards have no room for a character without a glyph; a customer may have one.
        return _typeset(data, [])


def _typeset(data: str, standards: list[typst.PDFStandard]) -> bytes:
    with _turn:
        made = _compiler().compile(format="pdf", sys_inputs={"data": data}, pdf_standards=standards)
    assert isinstance(made, bytes)
    return made


@functools.cache
def _compiler() -> typst.Compiler:
    return typst.Compiler(_HERE / "invoice.typ", root=_HERE, font_paths=_fonts(), ignore_system_fonts=True)


@functools.cache
def _fonts() -> typst.Fonts:
    return typst.Fonts(include_system_fonts=False, include_embedded_fonts=False, font_paths=[_HERE / "fonts"])


@functools.cache
def _fallbacks() -> list[str]:
    """The fonts to look in after Inter, in an order that is the same everywhere."""
    return [*sorted(set(_fonts().families()) - {"Inter", *_LAST_FONTS}), *_LAST_FONTS]


def _document(invoice: InvoiceDetail, today: date) -> dict[str, Any]:
    """What the template shows, in its order."""
    issued = invoice.issued_at.astimezone(UTC).date()
    currency = invoice.currency
    total = money(invoice.total_minor, currency)
    return {
        "fonts": _fallbacks(),
        "number": invoice.number,
        "currency": currency,
        "issued": {"year": issued.year, "month": issued.month, "day": issued.day},
        "issuer": _party(invoice.issuer.name, invoice.issuer.address, invoice.issuer.email),
        "customer": _party(invoice.customer.name, invoice.customer.billing_address, invoice.customer.email),
        "facts": [
            ("Number", _person(invoice.number)),
            ("Period", _person(month(invoice.period_start))),
            ("Issue date", _person(_day(issued))),
            ("Due date", _person(_day(invoice.due_on))),
        ],
        "headline": f"{total} due {_day(invoice.due_on)}" if invoice.total_minor else "Nothing to pay",
        "lines": [_line(line, currency) for line in invoice.lines],
        "total": total,
        "payment_instructions": _paragraph(invoice.issuer.payment_instructions),
        "status": _status(invoice, today),
        "footer": _person(f"Invoice {invoice.number}"),
        "content_sha256": invoice.content_sha256,
    }


def _party(name: str, address: str, email: str) -> dict[str, Any]:
    return {"name": _person(name), "rest": _paragraph(address) + _paragraph(email)}


def _line(line: Line, currency: str) -> dict[str, Any]:
    return {
        "title": title(line),
        "late": line.kind == "late_usage",
        "plan": _person(plan(line.plan_name, line.plan_version)),
        "arithmetic": sentences(line, currency),
        "amount": money(line.amount_minor, currency),
    }


def _status(invoice: InvoiceDetail, today: date) -> dict[str, Any]:
    """What is received and open, as a sentence; it changes while the invoice does not."""
    currency = invoice.currency
    total, received, balance = (
        money(amount, currency) for amount in (invoice.total_minor, invoice.paid_minor, invoice.balance_minor)
    )
    name = payment_status(invoice.total_minor, invoice.paid_minor, invoice.due_on, today)
    figures = f"{received} of {total} received, {balance} open" if invoice.total_minor else "Nothing was owed"
    broken = "The stored content does not match its SHA-256, or the previous invoice's does not match."
    return {
        "name": name,
        "word": _STATUS_WORDS[name],
        "day": _day(today),
        "figures": figures,
        "warnings": [] if invoice.chain_ok else [broken],
    }


def _day(value: date) -> str:
    return format_date(value, "d MMMM y", locale=LOCALE)


def _paragraph(text: str) -> list[dict[str, Any]]:
    return [_person(line) for line in text.splitlines() if line]


def _person(text: str) -> dict[str, Any]:
    """One line with its direction, which is that of its first letter that has one."""
    strong = (unicodedata.bidirectional(character) for character in text)
    first = next((each for each in strong if each in ("L", "R", "AL")), "L")
    return {"text": text, "rtl": first != "L"}
