"""What an invoice says, the hash that seals it, and the status its payments give it."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Literal, NamedTuple

from billing_app.domain.money import major_text, plain
from billing_app.domain.periods import label
from billing_app.domain.rating import Line

DAYS_TO_PAY = 30
CONTENT_FORMAT = "tallybook.invoice.v1"

PaymentStatus = Literal["unpaid", "partially_paid", "paid", "overdue"]


class Issuer(NamedTuple):
    """Who bills, as copied into an invoice."""

    name: str
    address: str
    email: str
    payment_instructions: str


class BilledCustomer(NamedTuple):
    """Who is billed, as copied into an invoice."""

    key: str
    name: str
    email: str
    billing_address: str


class InvoiceContent(NamedTuple):
    """All that an invoice says, and `previous_sha256`: the customer's previous invoice's hash."""

    number: str
    period_start: date
    currency: str
    issued_at: datetime
    due_on: date
    issuer: Issuer
    customer: BilledCustomer
    lines: tuple[Line, ...]
    total_minor: int
    previous_sha256: str | None


def invoice_number(customer_key: str, sequence: int) -> str:
    """`acme`, 1 -> `ACME-0001`; past 9,999 the number simply grows."""
    return f"{customer_key.upper()}-{sequence:04d}"


def split_invoice_number(number: str) -> tuple[str, int] | None:
    """`ACME-0001` -> (`acme`, 1), the customer's key without case; None when it is no number."""
    key, _, digits = number.rpartition("-")
    if not key or not (4 <= len(digits) <= 9 and digits.isascii() and digits.isdigit()):
        return None
    sequence = int(digits)
    return (key.lower(), sequence) if sequence and f"{sequence:04d}" == digits else None


def due_date(issued_at: datetime) -> date:
    """The last day to pay: the UTC day of issue and 30 days."""
    return issued_at.astimezone(UTC).date() + timedelta(days=DAYS_TO_PAY)


def content_sha256(content: InvoiceContent) -> str:
    """SHA-256, in hex, of the canonical content: JSON with sorted keys, numbers as plain strings."""
    return hashlib.sha256(canonical_content(content)).hexdigest()


def canonical_content(content: InvoiceContent) -> bytes:
    """The bytes that are hashed. Anybody with the invoice's fields can make the same ones."""
    currency = content.currency
    document = {
        "format": CONTENT_FORMAT,
        "number": content.number,
        "period": label(content.period_start),
        "currency": currency,
        "issued_at": content.issued_at.astimezone(UTC).isoformat(timespec="microseconds"),
        "due_on": content.due_on.isoformat(),
        "issuer": content.issuer._asdict(),
        "customer": content.customer._asdict(),
        "lines": [_line_document(line, currency) for line in content.lines],
        "total": major_text(content.total_minor, currency),
        "previous_sha256": content.previous_sha256,
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _line_document(line: Line, currency: str) -> dict[str, str | int | None]:
    return {
        "kind": line.kind,
        "description": line.description,
        "usage_period": label(line.usage_period) if line.usage_period else None,
        "plan_name": line.plan_name,
        "plan_version": line.plan_version,
        "quantity": _plain_or_none(line.quantity),
        "quantity_before": _plain_or_none(line.quantity_before),
        "quantity_after": _plain_or_none(line.quantity_after),
        "included_quantity": _plain_or_none(line.included_quantity),
        "overage_quantity": _plain_or_none(line.overage_quantity),
        "unit_price": _plain_or_none(line.unit_price),
        "exact_amount": plain(line.exact_amount),
        "rated": major_text(line.rated_minor, currency),
        "exact_amount_before": plain(line.exact_amount_before),
        "already_charged": major_text(line.already_charged_minor, currency),
        "amount": major_text(line.amount_minor, currency),
    }


def _plain_or_none(number: Decimal | None) -> str | None:
    return None if number is None else plain(number)


def payment_status(total_minor: int, paid_minor: int, due_on: date, today: date) -> PaymentStatus:
    """Paid as soon as nothing is owed; overdue (after the due day) before partially paid."""
    if paid_minor >= total_minor:
        return "paid"
    if today > due_on:
        return "overdue"
    return "partially_paid" if paid_minor > 0 else "unpaid"
