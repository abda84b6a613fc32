"""Invoices and payments, both append-only, and the index of open invoices."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    SmallInteger,
    UniqueConstraint,
)
from sqlmodel import Field, SQLModel

from billing_app.models.columns import (
    customer_key_column,
    day_column,
    digits_check,
    entered_column,
    first_of_month_check,
    minor_column,
    moment_column,
    text_column,
)


def _sha256_check(column: str) -> CheckConstraint:
    """Check for 64 hex digits, ten times as fast per row as the pattern `{64}`."""
    return CheckConstraint(f"length({column}) = 64 AND {column} !~ '[^0-9a-f]'", name=f"{column}_form")


class Invoice(SQLModel, table=True):
    """What a customer owes for one period, with copies of everything it shows.

    The deferred foreign key to its own last line, with the trigger on lines that counts and sums
    them, ensures that an invoice can only be committed with exactly its lines.
    """

    __tablename__ = "invoice"
    __table_args__ = (
        ForeignKeyConstraint(["customer_id", "currency"], ["customer.customer_id", "customer.currency"]),
        ForeignKeyConstraint(
            ["customer_id", "period_start", "line_count"],
            ["invoice_line.customer_id", "invoice_line.period_start", "invoice_line.line_number"],
            name="fk_invoice_last_line",
            deferrable=True,
            initially="DEFERRED",
            use_alter=True,
        ),
        UniqueConstraint("customer_id", "sequence"),
        first_of_month_check("period_start"),
        CheckConstraint("sequence >= 1", name="sequence_positive"),
        CheckConstraint(
            "number = upper(customer_key) || '-' || CASE WHEN sequence > 9999 THEN sequence::text"
            " ELSE lpad(sequence::text, 4, '0') END",
            name="number_form",
        ),
        CheckConstraint("format <> ''", name="format_given"),
        CheckConstraint("line_count >= 1", name="has_lines"),
        CheckConstraint("(sequence = 1) = (previous_sha256 IS NULL)", name="chained"),
        _sha256_check("content_sha256"),
        _sha256_check("previous_sha256"),
        Index("ix_invoice_period_start", "period_start", "customer_id"),
    )

    customer_id: int = Field(sa_column=customer_key_column())
    period_start: date = Field(sa_column=Column(Date, primary_key=True))
    sequence: int = Field(sa_column=Column(Integer, nullable=False))
    number: str = Field(sa_column=text_column())
    format: str = Field(sa_column=text_column())
    currency: str = Field(sa_column=text_column())
    issued_at: datetime = Field(sa_column=moment_column())
    due_on: date = Field(sa_column=day_column())
    total_minor: Decimal = Field(sa_column=minor_column())
    line_count: int = Field(sa_column=Column(SmallInteger, nullable=False))
    issuer_name: str = Field(sa_column=text_column())
    issuer_address: str = Field(sa_column=text_column())
    issuer_email: str = Field(sa_column=text_column())
    issuer_payment_instructions: str = Field(sa_column=text_column())
    customer_key: str = Field(sa_column=text_column())
    customer_name: str = Field(sa_column=text_column())
    customer_email: str = Field(sa_column=text_column())
    customer_billing_address: str = Field(sa_column=text_column())
    previous_sha256: str | None = Field(default=None, sa_column=text_column(nullable=True))
    content_sha256: str = Field(sa_column=text_column())


class NumberGap(SQLModel, table=True):
    """Invoice numbers that a customer got before a restore, and whose invoices are not in the database.

    A gap is a link of the customer's chain like an invoice: it has the hash of the previous link, and the
    next invoice has its hash. A trigger ensures that it starts right after the customer's last number.
    """

    __tablename__ = "number_gap"
    __table_args__ = (
        ForeignKeyConstraint(["customer_id"], ["customer.customer_id"]),
        CheckConstraint("first_sequence >= 1", name="first_sequence_positive"),
        CheckConstraint("last_sequence >= first_sequence", name="last_sequence_not_before_first"),
        CheckConstraint("(first_sequence = 1) = (previous_sha256 IS NULL)", name="chained"),
        _sha256_check("content_sha256"),
        _sha256_check("previous_sha256"),
    )

    customer_id: int = Field(sa_column=customer_key_column())
    first_sequence: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    last_sequence: int = Field(sa_column=Column(Integer, nullable=False))
    backup_of: datetime = Field(sa_column=moment_column())
    recorded_at: datetime = Field(sa_column=moment_column())
    recorded_by: str = Field(sa_column=text_column())
    previous_sha256: str | None = Field(default=None, sa_column=text_column(nullable=True))
    content_sha256: str = Field(sa_column=text_column())


class OpenInvoice(SQLModel, table=True):
    """An invoice that is not paid in full. Triggers maintain this index of open invoices."""

    __tablename__ = "open_invoice"
    __table_args__ = (
        Index(
            "ix_open_invoice_period_start",
            "period_start",
            "customer_id",
            postgresql_include=["due_on", "paid_minor"],
        ),
    )

    customer_id: int = Field(sa_column=customer_key_column())
    period_start: date = Field(sa_column=Column(Date, primary_key=True))
    due_on: date = Field(sa_column=day_column())
    paid_minor: Decimal = Field(sa_column=minor_column())


class Payment(SQLModel, table=True):
    """A payment of one invoice: received, or taken from the customer's credit."""

    __tablename__ = "payment"
    __table_args__ = (
        ForeignKeyConstraint(
            ["customer_id", "period_start"], ["invoice.customer_id", "invoice.period_start"]
        ),
        UniqueConstraint("customer_id", "idempotency_key"),
        digits_check("amount_minor", 38, 0),
        CheckConstraint("amount_minor > 0", name="amount_minor_positive"),
        CheckConstraint("length(idempotency_key) BETWEEN 1 AND 255", name="idempotency_key_length"),
        CheckConstraint("source IN ('received', 'credit')", name="source_known"),
        CheckConstraint("(source = 'credit') = (idempotency_key IS NULL)", name="key_of_source"),
        CheckConstraint(
            # Today anywhere on earth: the latest time zone is UTC+14.
            "received_on <= (recorded_at AT TIME ZONE 'UTC' + interval '14 hours')::date",
            name="not_dated_ahead",
        ),
        Index("ix_payment_invoice", "customer_id", "period_start"),
    )

    customer_id: int = Field(sa_column=customer_key_column())
    payment_id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    period_start: date = Field(sa_column=day_column())
    amount_minor: Decimal = Field(sa_column=entered_column())
    received_on: date = Field(sa_column=day_column())
    method: str = Field(default="", sa_column=text_column())
    reference: str = Field(default="", sa_column=text_column())
    idempotency_key: str | None = Field(default=None, sa_column=text_column(nullable=True))
    recorded_at: datetime = Field(sa_column=moment_column())
    recorded_by: str = Field(sa_column=text_column())
    source: str = Field(default="received", sa_column=text_column(server_default="received"))


class PaymentReversal(SQLModel, table=True):
    """The reversal of a whole payment. The primary key allows one per payment."""

    __tablename__ = "payment_reversal"
    __table_args__ = (
        ForeignKeyConstraint(["customer_id", "payment_id"], ["payment.customer_id", "payment.payment_id"]),
        CheckConstraint("btrim(reason) <> ''", name="reason_given"),
    )

    customer_id: int = Field(sa_column=customer_key_column())
    payment_id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    reason: str = Field(sa_column=text_column())
    recorded_at: datetime = Field(sa_column=moment_column())
    recorded_by: str = Field(sa_column=text_column())
