"""Invoices: made, listed, read down to the very events, and as files."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from fastapi import Query, Response
from pydantic import BaseModel, Field

from billing_app.api.usage import UsageEvent, usage_event
from billing_app.api.wire.calls import Caller
from billing_app.api.wire.csv_files import DESCRIBED, Cell, CsvFile, csv_file
from billing_app.api.wire.openapi import refusals
from billing_app.api.wire.pagination import Page, Paged, page_of
from billing_app.api.wire.routing import resource
from billing_app.api.wire.values import Body, Currency, Date, Money, Period, Quantity, Sha256, Timestamp
from billing_app.documents.invoice_pdf import invoice_pdf
from billing_app.domain.invoice import PaymentStatus
from billing_app.domain.money import major_text, to_major
from billing_app.domain.periods import label, next_period
from billing_app.domain.rating import Line, LineKind
from billing_app.jobs.invoicing import generate_invoice
from billing_app.runtime import current
from billing_app.services.invoices import export as invoice_exports
from billing_app.services.invoices import invoices, previews
from billing_app.services.invoices.invoices import InvoiceDetail, InvoiceRow
from billing_app.services.shared.ids import public_id

router = resource("", "Invoices")

CustomerFilter = Annotated[str | None, Query(description="A customer's id or key.")]
PeriodFilter = Annotated[Period | None, Query(description="The month that is invoiced.")]
StatusFilter = Annotated[
    PaymentStatus | Literal["outstanding"] | None,
    Query(description="As of today, in UTC; `outstanding` is whatever is not paid."),
]
AgeFilter = Annotated[
    Literal["current", "1-30", "31-60", "61-90", "over-90"] | None,
    Query(description="What is not paid, by the days that it is past due; `current` is not due yet."),
]
CurrencyFilter = Annotated[Currency | None, Query(description="An ISO 4217 code.")]
SearchFilter = Annotated[
    str | None,
    Query(max_length=200, description="The beginning of a number, or a part of a customer's name or key."),
]


class BilledCustomer(BaseModel):
    """The customer as it was when the invoice was made."""

    id: str = Field(examples=["cus_12"])
    key: str = Field(examples=["acme"])
    name: str = Field(examples=["Acme Industrial Supply"])
    email: str = Field(examples=["billing@acme.example"])
    billing_address: str


class InvoiceIssuer(BaseModel):
    """Who billed, as it was when the invoice was made."""

    name: str = Field(examples=["Tallybook Ltd"])
    address: str
    email: str
    payment_instructions: str


class InvoicePeriod(BaseModel):
    """A calendar month in UTC; `end` is the first day that is not in it."""

    start: Date = Field(examples=["2026-10-01"])
    end: Date = Field(examples=["2026-11-01"])
    label: str = Field(examples=["2026-10"])


class InvoiceLine(BaseModel):
    """One priced row, with the arithmetic that explains it.

    `exact_amount` is `overage_quantity` times `unit_price`, unrounded; `amount` is its rounding,
    half up. A `late_usage` line charges the difference between two totals of its `usage_period`:
    `rated` is what `quantity_after` comes to, `already_charged` what `quantity_before` did.
    What does not apply to a line's kind is null.
    """

    number: int = Field(examples=[2], description="Its place on the invoice, from 1.")
    kind: LineKind
    description: str = Field(examples=["Usage of 2026-10"])
    plan_name: str = Field(examples=["Team"])
    plan_version: int = Field(examples=[1])
    usage_period: Period | None
    quantity: Quantity | None
    quantity_before: Quantity | None
    quantity_after: Quantity | None
    included_quantity: Quantity | None
    overage_quantity: Quantity | None
    unit_price: Quantity | None = Field(examples=["0.0125"])
    exact_amount: Quantity = Field(examples=["6.625"])
    rated: Money | None
    exact_amount_before: Quantity | None
    already_charged: Money | None
    amount: Money = Field(examples=["6.63"])


class InvoiceSummary(BaseModel):
    """An invoice in a list: as `Invoice`, without its lines."""

    number: str = Field(examples=["ACME-0001"])
    customer: BilledCustomer
    period: InvoicePeriod
    currency: Currency
    total: Money
    issued_at: Timestamp
    due_at: Date = Field(description="The last day to pay, in UTC.")
    payment_status: PaymentStatus
    paid: Money = Field(description="What was received, less reversals.")
    balance: Money
    content_sha256: Sha256


class Invoice(InvoiceSummary):
    """What a customer owes for a month; all but the payments never changes.

    `chain_ok`: the content still has the hash `content_sha256`, and the customer's previous
    invoice still has the hash that this content includes, `previous_sha256`.
    """

    issuer: InvoiceIssuer
    lines: list[InvoiceLine]
    previous_sha256: Sha256 | None
    chain_ok: bool


class InvoicePreview(BaseModel):
    """What the invoice would be `as_of` this moment; nothing of it is stored."""

    customer: str = Field(examples=["acme"], description="The customer's key.")
    period: InvoicePeriod
    currency: Currency
    lines: list[InvoiceLine]
    total: Money
    as_of: Timestamp


class NewInvoice(Body):
    """Whose invoice, for which month."""

    customer: str = Field(examples=["acme"], description="The customer's id or key.")
    period: Period


@router.post(
    "/invoices",
    status_code=201,
    responses=refusals(
        "customer_not_found", "invoice_exists", "period_open", "earlier_period_open", "nothing_to_invoice",
        "issuer_incomplete",
    ),
)  # fmt: skip
def create_invoice(call: Caller, body: NewInvoice, response: Response) -> Invoice:
    """Make a customer's one invoice for a month that has ended.

    Closes the month for the customer: what is reported for it later is billed in its next invoice.
    """
    made = generate_invoice(current().database, call.actor, body.customer, body.period)
    response.headers["Location"] = f"/api/v1/invoices/{made.number}"
    return invoice_of(made)


@router.get("/invoices", responses=refusals("customer_not_found"))
def list_invoices(
    call: Caller,
    paged: Paged,
    customer: CustomerFilter = None,
    period: PeriodFilter = None,
    status: StatusFilter = None,
    age: AgeFilter = None,
    currency: CurrencyFilter = None,
    search: SearchFilter = None,
) -> Page[InvoiceSummary]:
    """List invoices, the newest month first."""
    found = call.do(
        invoices.list_invoices,
        customer=customer,
        period=period,
        status=status,
        age=age,
        currency=currency,
        search=search,
        **paged,
    )
    return page_of(found, summary_of)


@router.get("/customers/{customer}/invoices", responses=refusals("customer_not_found"))
def list_invoices_of_customer(
    call: Caller, paged: Paged, customer: str, period: PeriodFilter = None, status: StatusFilter = None
) -> Page[InvoiceSummary]:
    """List a customer's invoices, the newest month first."""
    return list_invoices(call, paged, customer, period, status)


@router.get(
    "/customers/{customer}/invoice-preview", responses=refusals("customer_not_found", "invoice_exists")
)
def preview_invoice(
    call: Caller,
    customer: str,
    period: Annotated[Period | None, Query(description="The current month if not given.")] = None,
) -> InvoicePreview:
    """Preview an invoice: its lines and total as they would be now."""
    found = call.do(previews.preview_invoice, customer, period)
    return InvoicePreview(
        customer=found.customer_key,
        period=_period_of(found.period_start),
        currency=found.currency,
        lines=_lines_of(found.lines, found.currency),
        total=major_text(found.total_minor, found.currency),
        as_of=found.as_of,
    )


_COLUMNS = (
    "number", "customer_key", "customer_name", "period", "currency", "total", "paid", "balance",
    "payment_status", "issued_at", "due_at", "content_sha256",
)  # fmt: skip


@router.get("/invoices.csv", response_class=CsvFile, responses=DESCRIBED | refusals("customer_not_found"))
def export_invoices(
    call: Caller,
    period: PeriodFilter = None,
    customer: CustomerFilter = None,
    status: StatusFilter = None,
    age: AgeFilter = None,
    currency: CurrencyFilter = None,
    search: SearchFilter = None,
) -> CsvFile:
    """Export invoices as CSV, the newest month first.

    A name that a spreadsheet would run as a formula (it begins with `=`, `+`, `-`, `@`, a tab or a
    carriage return) has an apostrophe before it.
    """
    parts = ["invoices", label(period) if period else None, customer, status, age, currency]
    name = "-".join(part for part in parts if part)
    return csv_file(
        call, f"{name}.csv", _COLUMNS, _cells,
        invoice_exports.read_invoices,
        customer=customer, period=period, status=status, age=age, currency=currency, search=search,
    )  # fmt: skip


# Before `/invoices/{number}`, which would take it for a number.
@router.get(
    "/invoices/{number}.pdf",
    response_class=Response,
    responses={
        200: {"content": {"application/pdf": {}}, "description": "The file."},
        **refusals("invoice_not_found"),
    },
)
def get_invoice_pdf(call: Caller, number: str) -> Response:
    """Get an invoice as a PDF, with its payment status of today."""
    invoice = call.do(invoices.get_invoice, number)
    return Response(
        invoice_pdf(invoice, as_of=current().database.clock()),
        media_type="application/pdf",
        headers={"Content-Disposition": f'inline; filename="{invoice.number}.pdf"'},
    )


@router.get("/invoices/{number}", responses=refusals("invoice_not_found"))
def get_invoice(call: Caller, number: str) -> Invoice:
    """Get an invoice with its lines."""
    return invoice_of(call.do(invoices.get_invoice, number))


@router.get("/invoices/{number}/usage", responses=refusals("invoice_not_found", "line_not_found"))
def list_invoice_usage(
    call: Caller,
    paged: Paged,
    number: str,
    line: Annotated[int | None, Query(ge=1, le=32767, description="Only what this line was made of.")] = None,
) -> Page[UsageEvent]:
    """List the very events that an invoice was made of, in order of time."""
    return page_of(call.do(invoices.list_invoice_events, number, line_number=line, **paged), usage_event)


def summary_of(row: InvoiceRow) -> InvoiceSummary:
    """The invoice as it goes out in a list."""
    return InvoiceSummary(**_summary_fields(row))


def invoice_of(detail: InvoiceDetail) -> Invoice:
    """The whole invoice as it goes out."""
    return Invoice(
        **_summary_fields(detail),
        issuer=InvoiceIssuer(**detail.issuer._asdict()),
        lines=_lines_of(detail.lines, detail.currency),
        previous_sha256=detail.previous_sha256,
        chain_ok=detail.chain_ok,
    )


def _summary_fields(row: InvoiceRow) -> dict[str, Any]:
    return {
        "number": row.number,
        "customer": BilledCustomer(id=public_id("cus", row.customer_id), **row.customer._asdict()),
        "period": _period_of(row.period_start),
        "currency": row.currency,
        "total": major_text(row.total_minor, row.currency),
        "issued_at": row.issued_at,
        "due_at": row.due_on,
        "payment_status": row.payment_status,
        "paid": major_text(row.paid_minor, row.currency),
        "balance": major_text(row.balance_minor, row.currency),
        "content_sha256": row.content_sha256,
    }


def _period_of(period_start: date) -> InvoicePeriod:
    return InvoicePeriod(start=period_start, end=next_period(period_start), label=label(period_start))


def _lines_of(lines: tuple[Line, ...], currency: str) -> list[InvoiceLine]:
    return [_line_of(number, line, currency) for number, line in enumerate(lines, 1)]


def _line_of(number: int, line: Line, currency: str) -> InvoiceLine:
    late = line.kind == "late_usage"
    return InvoiceLine(
        number=number,
        kind=line.kind,
        description=line.description,
        plan_name=line.plan_name,
        plan_version=line.plan_version,
        usage_period=line.usage_period,
        quantity=line.quantity,
        quantity_before=line.quantity_before if late else None,
        quantity_after=line.quantity_after if late else None,
        included_quantity=line.included_quantity,
        overage_quantity=line.overage_quantity,
        unit_price=line.unit_price,
        exact_amount=line.exact_amount,
        rated=major_text(line.rated_minor, currency) if late else None,
        exact_amount_before=line.exact_amount_before if late else None,
        already_charged=major_text(line.already_charged_minor, currency) if late else None,
        amount=major_text(line.amount_minor, currency),
    )


def _cells(row: InvoiceRow) -> tuple[Cell, ...]:
    return (
        row.number, row.customer_key, row.customer_name, label(row.period_start), row.currency,
        to_major(row.total_minor, row.currency), to_major(row.paid_minor, row.currency),
        to_major(row.balance_minor, row.currency), row.payment_status, row.issued_at, row.due_on,
        row.content_sha256,
    )  # fmt: skip
