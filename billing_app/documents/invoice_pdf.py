"""Typeset an invoice as a PDF."""

from __future__ import annotations

import functools
import json
import threading
import unicodedata
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TypedDict

import typst

from billing_app.documents.arithmetic import badge, sentences, subtitle, title
from billing_app.domain.invoice import PaymentStatus, payment_status
from billing_app.domain.lines import Line
from billing_app.services.invoices.rows import InvoiceDetail
from billing_app.services.shared.characters import remove_invisible
from billing_app.wording.values import PAYMENT_STATUSES, day, money, month

_HERE = Path(__file__).parent
# Accessible to screen readers and suitable for archiving. The typesetter enforces both standards.
_STANDARDS: list[typst.PDFStandard] = ["a-2a", "ua-1"]
# Last, because the fonts for a single script draw its letters better.
_LAST_FONTS = ["Droid Sans Fallback", "Noto Emoji"]
# The compiler isn't thread-safe. Typesetting takes a few milliseconds.
_compiler_lock = threading.Lock()


class _Text(TypedDict):
    """A line of entered text, and whether it reads from right to left."""

    text: str
    rtl: bool


class _Party(TypedDict):
    """The issuer or the customer."""

    name: _Text
    rest: list[_Text]


def invoice_pdf(invoice: InvoiceDetail, *, as_of: datetime) -> bytes:
    """Return the invoice as an A4 PDF, with its payment status on the UTC date of `as_of`.

    It also fits Letter paper. The same invoice, payments and date give the same bytes on every machine,
    because all fonts come with the package and are embedded. The file is PDF/A-2a and PDF/UA-1, unless a
    character is missing in all fonts and drawn as a box. Entered text is never interpreted as markup.
    Thread-safe.
    """
    data = json.dumps(_document(invoice, as_of.astimezone(UTC).date()))
    try:
        return _typeset(data, _STANDARDS)
    except typst.TypstError:
        # The standards don't allow characters without a glyph, but a customer's name may have some.
        return _typeset(data, [])


def _typeset(data: str, standards: list[typst.PDFStandard]) -> bytes:
    with _compiler_lock:
        pdf = _compiler().compile(format="pdf", sys_inputs={"data": data}, pdf_standards=standards)
    assert isinstance(pdf, bytes)
    return pdf


@functools.cache
def _compiler() -> typst.Compiler:
    return typst.Compiler(_HERE / "invoice.typ", root=_HERE, font_paths=_fonts(), ignore_system_fonts=True)


@functools.cache
def _fonts() -> typst.Fonts:
    return typst.Fonts(include_system_fonts=False, include_embedded_fonts=False, font_paths=[_HERE / "fonts"])


@functools.cache
def _fallbacks() -> list[str]:
    """Return the fonts to use for characters that Inter doesn't have, in the same order on every machine."""
    return [*sorted(set(_fonts().families()) - {"Inter", *_LAST_FONTS}), *_LAST_FONTS]


def _document(invoice: InvoiceDetail, today: date) -> dict[str, object]:
    """Return the template's data, in the order of the document."""
    issued = invoice.issued_at.astimezone(UTC).date()
    currency = invoice.currency
    total = money(invoice.total_minor, currency)
    facts = [
        ("Number", _text(invoice.number)),
        ("Period", _text(month(invoice.period_start))),
        ("Issue date", _text(day(issued))),
    ]
    if not _is_credit(invoice):
        facts.append(("Due date", _text(day(invoice.due_on))))
    kind = "Credit" if _is_credit(invoice) else "Invoice"
    return {
        "kind": kind,
        "fonts": _fallbacks(),
        "number": invoice.number,
        "currency": currency,
        "issued": {"year": issued.year, "month": issued.month, "day": issued.day},
        "issuer": _party(invoice.issuer.name, invoice.issuer.address, invoice.issuer.email),
        "customer": _party(invoice.customer.name, invoice.customer.billing_address, invoice.customer.email),
        "facts": facts,
        "headline": _headline(invoice),
        "lines": [_line(line, currency) for line in invoice.lines],
        "total": total,
        "due": None if _is_credit(invoice) else total,
        "payment_instructions": []
        if _is_credit(invoice)
        else _paragraph(invoice.issuer.payment_instructions),
        "status": _status(invoice, today),
        "footer": _text(f"{kind} {invoice.number}"),
        "content_sha256": invoice.content_sha256,
    }


def _is_credit(invoice: InvoiceDetail) -> bool:
    """Return whether the total is below zero. Such an invoice is headed "Credit" and asks for no money."""
    return invoice.total_minor < 0


def _headline(invoice: InvoiceDetail) -> str:
    if _is_credit(invoice):
        return f"{money(-invoice.total_minor, invoice.currency)} of credit"
    if not invoice.total_minor:
        return "Nothing due"
    return f"{money(invoice.total_minor, invoice.currency)} due by {day(invoice.due_on)}"


def _party(name: str, address: str, email: str) -> _Party:
    return {"name": _text(name), "rest": _paragraph(address) + _paragraph(email)}


def _line(line: Line, currency: str) -> dict[str, object]:
    return {
        "title": _text(title(line)),
        "badge": badge(line),
        "subtitle": _text(subtitle(line)),
        "arithmetic": sentences(line, currency),
        "amount": money(line.amount_minor, currency),
    }


def _status(invoice: InvoiceDetail, today: date) -> dict[str, object]:
    """Return the paid and outstanding amounts, which can change after the invoice was created."""
    currency = invoice.currency
    total, paid, balance = (
        money(amount, currency) for amount in (invoice.total_minor, invoice.paid_minor, invoice.balance_minor)
    )
    status: PaymentStatus = payment_status(invoice.total_minor, invoice.paid_minor, invoice.due_on, today)
    figures = f"{paid} of {total} paid, {balance} outstanding" if invoice.total_minor > 0 else "Nothing due"
    if invoice.paid_from_credit_minor:
        figures = f"{figures}. {money(invoice.paid_from_credit_minor, currency)} was paid from credit."
    tampered = "The stored content does not match its SHA-256, or the previous invoice's does not match."
    return {
        "name": status,
        "word": PAYMENT_STATUSES[status],
        "day": day(today),
        "figures": figures,
        "warnings": [] if invoice.chain_ok else [tampered],
    }


def _paragraph(text: str) -> list[_Text]:
    return [_text(line) for line in text.splitlines() if line]


def _text(text: str) -> _Text:
    """Return one line without invisible characters, in the direction of its first letter."""
    visible = remove_invisible(text)
    directions = (unicodedata.bidirectional(character) for character in visible)
    first = next((direction for direction in directions if direction in ("L", "R", "AL")), "L")
    return {"text": visible, "rtl": first != "L"}
