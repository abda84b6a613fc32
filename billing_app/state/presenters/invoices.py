"""Rows of invoices, and what they are made of."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class InvoiceItem:
    """A row of a list of invoices."""

    href: str = ""
    number: str = ""
    period: str = ""
    total: str = ""
    balance: str = ""
    due: str = ""
    status: str = ""
    customer: str = ""


@dataclass(frozen=True)
class TotalItem:
    """What the chosen invoices of one currency come to."""

    currency: str = ""
    invoices: str = ""
    total: str = ""
    outstanding: str = ""
    owes: bool = False


@dataclass(frozen=True)
class InvoiceSheet:
    """An invoice without its lines and payments."""

    number: str = ""
    period: str = ""
    issued: str = ""
    due: str = ""
    status: str = ""
    currency: str = ""
    issuer_name: str = ""
    issuer_address: str = ""
    issuer_email: str = ""
    payment_instructions: str = ""
    customer_name: str = ""
    customer_href: str = ""
    customer_email: str = ""
    customer_address: str = ""
    total: str = ""
    paid: str = ""
    balance: str = ""
    content_sha256: str = ""
    previous_sha256: str = ""
    chain_ok: bool = False
    pdf_href: str = ""
    previous_number: str = ""
    previous_href: str = ""
    next_number: str = ""
    next_href: str = ""


@dataclass(frozen=True)
class LineItem:
    """An invoice line with its arithmetic in words."""

    number: int = 0
    title: str = ""
    plan: str = ""
    is_late: bool = False
    has_usage: bool = False
    quantity: str = ""
    unit_price: str = ""
    amount: str = ""
    arithmetic: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class PaymentItem:
    """Money received, and why it does not count when it was reversed."""

    payment_id: int = 0
    received: str = ""
    recorded: str = ""
    recorded_utc: str = ""
    recorded_by: str = ""
    method: str = ""
    reference: str = ""
    amount: str = ""
    reversed_because: str = ""
    reversed: str = ""
    reversed_utc: str = ""
    reversed_by: str = ""


@dataclass(frozen=True)
class EventItem:
    """One usage event of a line."""

    occurred: str = ""
    occurred_utc: str = ""
    recorded: str = ""
    recorded_utc: str = ""
    key: str = ""
    quantity: str = ""
    recorded_by: str = ""
