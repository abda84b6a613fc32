"""Invoices, their lines, events and payments as pages show them."""

from __future__ import annotations

from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from billing_app.documents.arithmetic import badge, priced_quantity, sentences, subtitle, title, unit_price
from billing_app.domain.lines import Line
from billing_app.services.audit.names import Named
from billing_app.services.invoices.rows import InvoiceDetail, InvoiceRow, Neighbours
from billing_app.services.invoices.totals import CurrencyTotals
from billing_app.services.payments.rows import PaymentRow
from billing_app.services.usage.correction_rows import CorrectionRow
from billing_app.services.usage.rows import UsageEventRow
from billing_app.state.kit import address, text
from billing_app.state.presenters.audit_entries import describe_actor_id
from billing_app.state.presenters.usage import signed
from billing_app.wording.discrepancies import skipped_numbers


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


def invoice_item(invoice: InvoiceRow) -> InvoiceItem:
    """Present an invoice as a row of a list."""
    return InvoiceItem(
        href=address.link(f"/invoices/{invoice.number}"),
        number=invoice.number,
        period=text.month(invoice.period_start),
        total=text.money(invoice.total_minor, invoice.currency),
        balance=text.money(invoice.balance_minor, invoice.currency),
        due="\N{EM DASH}" if invoice.payment_status == "credit" else text.day(invoice.due_on),
        status=invoice.payment_status,
        customer=invoice.customer.name,
    )


@dataclass(frozen=True)
class TotalItem:
    """The totals of the listed invoices in one currency."""

    currency: str = ""
    invoices: str = ""
    total: str = ""
    outstanding: str = ""
    is_outstanding: bool = False


def total_item(totals: CurrencyTotals) -> TotalItem:
    """Present the totals of one currency."""
    return TotalItem(
        currency=totals.currency,
        invoices=f"{totals.invoices:,} {'invoice' if totals.invoices == 1 else 'invoices'}",
        total=text.money(totals.total_minor, totals.currency),
        outstanding=text.money(totals.outstanding_minor, totals.currency),
        is_outstanding=totals.outstanding_minor > 0,
    )


@dataclass(frozen=True)
class InvoiceSheet:
    """One invoice, apart from its lines and payments."""

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
    gap: str = ""
    pdf_href: str = ""
    previous_number: str = ""
    previous_href: str = ""
    next_number: str = ""
    next_href: str = ""


def invoice_sheet(invoice: InvoiceDetail, neighbours: Neighbours) -> InvoiceSheet:
    """Present one invoice."""
    currency = invoice.currency
    return InvoiceSheet(
        number=invoice.number,
        period=text.month(invoice.period_start),
        issued=text.day(invoice.issued_at.date()),
        due=text.day(invoice.due_on),
        status=invoice.payment_status,
        currency=currency,
        issuer_name=invoice.issuer.name,
        issuer_address=invoice.issuer.address,
        issuer_email=invoice.issuer.email,
        payment_instructions=invoice.issuer.payment_instructions,
        customer_name=invoice.customer.name,
        customer_href=address.link(f"/customers/{invoice.customer.key}"),
        customer_email=invoice.customer.email,
        customer_address=invoice.customer.billing_address,
        total=text.money(invoice.total_minor, currency),
        paid=text.money(-invoice.paid_minor, currency),
        balance=text.money(invoice.balance_minor, currency),
        content_sha256=invoice.content_sha256,
        previous_sha256=invoice.previous_sha256 or "",
        chain_ok=invoice.chain_ok,
        gap=f"{skipped_numbers(*invoice.gap_before)} before a restore, and not used again."
        if invoice.gap_before
        else "",
        pdf_href=address.link(f"/api/v1/invoices/{invoice.number}.pdf"),
        previous_number=neighbours.previous or "",
        previous_href=address.link(f"/invoices/{neighbours.previous}") if neighbours.previous else "",
        next_number=neighbours.following or "",
        next_href=address.link(f"/invoices/{neighbours.following}") if neighbours.following else "",
    )


@dataclass(frozen=True)
class LineItem:
    """An invoice line with its arithmetic in words, one sentence each."""

    number: int = 0
    title: str = ""
    subtitle: str = ""
    badge: str = ""
    has_usage: bool = False
    quantity: str = ""
    unit_price: str = ""
    amount: str = ""
    arithmetic: list[str] = field(default_factory=list)


def line_item(number: int, line: Line, currency: str) -> LineItem:
    """Present an invoice line, which is the invoice's `number`th."""
    return LineItem(
        number=number,
        title=title(line),
        subtitle=subtitle(line),
        badge=badge(line),
        has_usage=line.meter_code is not None
        and bool(line.quantity_after or line.quantity or line.is_correction),
        quantity=priced_quantity(line),
        unit_price=unit_price(line, currency),
        amount=text.money(line.amount_minor, currency),
        arithmetic=sentences(line, currency),
    )


@dataclass(frozen=True)
class PaymentItem:
    """A payment. `reversal_reason` is empty unless it is reversed."""

    payment_id: int = 0
    received: str = ""
    recorded: str = ""
    recorded_utc: str = ""
    recorded_by: str = ""
    method: str = ""
    reference: str = ""
    amount: str = ""
    reversal_reason: str = ""
    reversed: str = ""
    reversed_utc: str = ""
    reversed_by: str = ""
    is_credit: bool = False


def payment_item(payment: PaymentRow, names: dict[str, Named], zone: ZoneInfo) -> PaymentItem:
    """Present a payment, with times in the viewer's zone."""
    reversed_at, reversed_by = payment.reversed_at, payment.reversed_by or ""
    return PaymentItem(
        payment_id=payment.payment_id,
        received=text.day(payment.received_on),
        recorded=text.timestamp(payment.recorded_at, zone),
        recorded_utc=text.timestamp_utc(payment.recorded_at),
        recorded_by=describe_actor_id(payment.recorded_by, payment.recorded_by, names).name,
        reversed=text.timestamp(reversed_at, zone) if reversed_at else "",
        reversed_utc=text.timestamp_utc(reversed_at) if reversed_at else "",
        reversed_by=describe_actor_id(reversed_by, reversed_by, names).name,
        method="Credit" if payment.is_credit else payment.method,
        is_credit=payment.is_credit,
        reference=payment.reference,
        amount=text.money(payment.amount_minor, payment.currency),
        reversal_reason=payment.reversal_reason or "",
    )


@dataclass(frozen=True)
class EventItem:
    """A usage event behind a line."""

    occurred: str = ""
    occurred_utc: str = ""
    key: str = ""
    quantity: str = ""


def event_item(event: UsageEventRow, zone: ZoneInfo) -> EventItem:
    """Present a usage event, with times in the viewer's zone."""
    return EventItem(
        occurred=text.timestamp(event.occurred_at, zone),
        occurred_utc=text.timestamp_utc(event.occurred_at),
        key=event.idempotency_key,
        quantity=text.quantity(event.quantity),
    )


@dataclass(frozen=True)
class CorrectionItem:
    """A correction of usage behind a line. `occurred` is the time of the event."""

    occurred: str = ""
    occurred_utc: str = ""
    key: str = ""
    change: str = ""
    difference: str = ""
    reason: str = ""


def correction_item(correction: CorrectionRow, zone: ZoneInfo) -> CorrectionItem:
    """Present a correction, with times in the viewer's zone."""
    return CorrectionItem(
        occurred=text.timestamp(correction.occurred_at, zone),
        occurred_utc=text.timestamp_utc(correction.occurred_at),
        key=correction.idempotency_key,
        change=f"{text.quantity(correction.quantity_before)} → {text.quantity(correction.quantity)}",
        difference=signed(correction),
        reason=correction.reason,
    )
