"""Write invoices and lines into the tables directly, without the code that usually computes them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import psycopg

from billing_app.domain.currencies import exponent
from billing_app.domain.invoice import invoice_number
from billing_app.domain.lines import Line

Row = dict[str, Any]


def line_row(line: Line, period_start: date, currency: str, *, customer_id: int = 1, number: int = 1) -> Row:
    """Return a line as a row of `invoice_line`."""
    return {
        "customer_id": customer_id,
        "period_start": period_start,
        "line_number": number,
        "currency_exponent": exponent(currency),
        **line._asdict(),
    }


def invoice_row(
    lines: Sequence[Line], period_start: date, currency: str, *, customer: tuple[int, str], sequence: int
) -> Row:
    """Return an invoice with these lines as a row of `invoice`. The customer is an id and a key."""
    customer_id, key = customer
    texts = ("issuer_name", "issuer_address", "issuer_email", "issuer_payment_instructions",
             "customer_name", "customer_email", "customer_billing_address")  # fmt: skip
    return {
        **dict.fromkeys(texts, "x"),
        "customer_id": customer_id,
        "customer_key": key,
        "period_start": period_start,
        "sequence": sequence,
        "number": invoice_number(key, sequence),
        "format": "test",
        "currency": currency,
        "issued_at": "2029-01-01T00:00:00Z",
        "due_on": "2029-01-31",
        "total_minor": sum(line.amount_minor for line in lines),
        "line_count": len(lines),
        "previous_sha256": None if sequence == 1 else "0" * 64,
        "content_sha256": "0" * 64,
    }


def insert(connection: psycopg.Connection, table: str, *rows: Mapping[str, Any], like: str = "") -> None:
    """Insert rows by one statement. `like` is the table that has the columns, unless it is the same."""
    connection.execute(
        f"INSERT INTO {table} SELECT * FROM jsonb_populate_recordset(NULL::{like or table}, %s::jsonb)",  # type: ignore[arg-type]
        [json.dumps(rows, default=str)],
    )
