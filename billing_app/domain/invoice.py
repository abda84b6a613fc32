"""The content of an invoice, the hash that seals it, and the payment status that follows from payments."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Literal, NamedTuple

from billing_app.domain.lines import Line
from billing_app.domain.money import major_text, plain
from billing_app.domain.periods import label

DAYS_TO_PAY = 30
CONTENT_FORMAT = "tallybook.invoice.v2"
GAP_FORMAT = "tallybook.number_gap.v1"

PaymentStatus = Literal["unpaid", "partially_paid", "paid", "overdue", "credit"]


class Age(NamedTuple):
    """A bracket of days past due. The last one has no `days_to`."""

    name: str
    days_from: int
    days_to: int | None


AGES = (
    Age("current", days_from=0, days_to=0),
    Age("1-30", days_from=1, days_to=30),
    Age("31-60", days_from=31, days_to=60),
    Age("61-90", days_from=61, days_to=90),
    Age("over-90", days_from=91, days_to=None),
)
"""The ages of outstanding invoices."""


class Issuer(NamedTuple):
    """The issuer, as copied into an invoice."""

    name: str
    address: str
    email: str
    payment_instructions: str


class BilledCustomer(NamedTuple):
    """The customer, as copied into an invoice."""

    key: str
    name: str
    email: str
    billing_address: str


class NumberGap(NamedTuple):
    """A stated gap in a customer's invoice numbers: issued before a restore, with invoices that are lost.

    `backup_of` is when the restored backup was made.
    """

    customer_key: str
    first_sequence: int
    last_sequence: int
    backup_of: datetime
    recorded_at: datetime
    previous_sha256: str | None

    @property
    def numbers(self) -> tuple[str, str]:
        """The first and the last invoice number."""
        first, last = self.first_sequence, self.last_sequence
        return invoice_number(self.customer_key, first), invoice_number(self.customer_key, last)


class InvoiceContent(NamedTuple):
    """Everything that an invoice says, with the hash of the customer's previous invoice."""

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
    """Return the invoice number: `acme`, 1 -> `ACME-0001`. Past 9,999 it has more digits."""
    return f"{customer_key.upper()}-{sequence:04d}"


def split_invoice_number(number: str) -> tuple[str, int] | None:
    """Split `ACME-0001` into (`acme`, 1), with the key in lower case. Return None if it is malformed."""
    key, _, digits = number.rpartition("-")
    if not key or not (4 <= len(digits) <= 9 and digits.isascii() and digits.isdigit()):
        return None
    sequence = int(digits)
    return (key.lower(), sequence) if sequence and f"{sequence:04d}" == digits else None


def due_date(issued_at: datetime) -> date:
    """Return the last day to pay: 30 days after the UTC date of issue."""
    return issued_at.astimezone(UTC).date() + timedelta(days=DAYS_TO_PAY)


def latest_local_date(moment: datetime) -> date:
    """Return today's date in the time zone that is furthest ahead (UTC+14).

    So a payment can be dated today in any time zone.
    """
    return (moment.astimezone(UTC) + timedelta(hours=14)).date()


def content_sha256(content: InvoiceContent) -> str:
    """Return the SHA-256, in hex, of the canonical content."""
    return hashlib.sha256(canonical_content(content)).hexdigest()


def canonical_content(content: InvoiceContent) -> bytes:
    """Return the bytes that are hashed: JSON with sorted keys and numbers as plain strings.

    They can be reproduced from the fields of the invoice alone.
    """
    currency = content.currency
    document = {
        "format": CONTENT_FORMAT,
        "number": content.number,
        "period": label(content.period_start),
        "currency": currency,
        "issued_at": _moment_text(content.issued_at),
        "due_on": content.due_on.isoformat(),
        "issuer": content.issuer._asdict(),
        "customer": content.customer._asdict(),
        "lines": [_line_document(line, currency) for line in content.lines],
        "total": major_text(content.total_minor, currency),
        "previous_sha256": content.previous_sha256,
    }
    return _canonical(document)


def gap_sha256(gap: NumberGap) -> str:
    """Return the SHA-256, in hex, of a stated gap. The customer's next invoice contains it."""
    document = {
        "format": GAP_FORMAT,
        "numbers": gap.numbers,
        "backup_of": _moment_text(gap.backup_of),
        "recorded_at": _moment_text(gap.recorded_at),
        "previous_sha256": gap.previous_sha256,
    }
    return hashlib.sha256(_canonical(document)).hexdigest()


# `json.dumps` would make another one for each document, and look for circular references.
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, check_circular=False)


def _canonical(document: Mapping[str, object]) -> bytes:
    return _ENCODER.encode(document).encode()


def _moment_text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def line_field(name: str) -> str:
    """Return what a field of a line is called in documents and reports, where amounts are in major units."""
    return name.removesuffix("_minor").replace("_minor_", "_")


class _LineField(NamedTuple):
    name: str
    is_amount: bool
    is_period: bool


# Worked out once, because an invoice run writes dozens of values for each of its lines.
_LINE_FIELDS = tuple(
    _LineField(line_field(name), is_amount="_minor" in name, is_period=name == "usage_period")
    for name in Line._fields
)


def _line_document(line: Line, currency: str) -> dict[str, str | int | bool]:
    """Return all values that the line has. Amounts are in major units and named without `_minor`."""
    return {
        field.name: _line_value(field, value, currency)
        for field, value in zip(_LINE_FIELDS, line, strict=True)
        if value is not None
    }


def _line_value(field: _LineField, value: object, currency: str) -> str | int | bool:
    if isinstance(value, str):
        return value
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, date):
        return label(value) if field.is_period else value.isoformat()
    assert isinstance(value, int)
    return major_text(value, currency) if field.is_amount else value


def payment_status(total_minor: int, paid_minor: int, due_on: date, today: date) -> PaymentStatus:
    """Return the payment status: `overdue` takes precedence over `partially_paid`.

    An invoice with a total below zero is a `credit` for ever: it asks for no money.

    `services.invoices.status_sql` has the same rule in SQL.
    """
    if total_minor < 0:
        return "credit"
    if paid_minor >= total_minor:
        return "paid"
    if today > due_on:
        return "overdue"
    return "partially_paid" if paid_minor > 0 else "unpaid"
