"""Generate, list, read and export invoices, down to the usage events behind each line."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from fastapi import Depends, Query, Response
from pydantic import BaseModel, Field

from billing_app.api.corrections import Correction, correction_of
from billing_app.api.invoice_lines import InvoiceLine, lines_of
from billing_app.api.usage import UsageEvent, usage_event
from billing_app.api.wire.calls import Caller
from billing_app.api.wire.csv_files import DESCRIBED, CsvFile, csv_file
from billing_app.api.wire.idempotency import Created, OnceOnly
from billing_app.api.wire.openapi import refusals
from billing_app.api.wire.pagination import Page, Paged, page_of
from billing_app.api.wire.routing import resource
from billing_app.api.wire.values import (
    Body,
    Currency,
    CustomerRef,
    Date,
    Day,
    Money,
    Period,
    Sha256,
    Timestamp,
    WholeNumber,
)
from billing_app.documents.csv_rows import Cell
from billing_app.documents.invoice_pdf import invoice_pdf
from billing_app.domain.actor import Permission
from billing_app.domain.invoice import PaymentStatus
from billing_app.domain.money import major_text, to_major
from billing_app.domain.periods import label
from billing_app.errors import Conflict, Invalid
from billing_app.jobs import invoicing
from billing_app.runtime import current
from billing_app.services.customers.rows import PlanChange
from billing_app.services.invoices import export, invoices, line_usage, previews
from billing_app.services.invoices.filters import InvoiceFilter
from billing_app.services.invoices.rows import InvoiceDetail, InvoiceRow
from billing_app.services.shared.ids import get_number

router = resource("", "Invoices")

PeriodQuery = Annotated[Period | None, Query(description="The billing period.")]
StatusQuery = Annotated[
    Literal[PaymentStatus, "outstanding"] | None,
    Query(
        description="The payment status today, in UTC. `outstanding` is every status but `paid` and `credit`."
    ),
]


def _invoice_filter(
    customer: Annotated[str | None, Query(description="A customer's ID or key.")] = None,
    period: PeriodQuery = None,
    status: StatusQuery = None,
    age: Annotated[
        Literal["current", "1-30", "31-60", "61-90", "over-90"] | None,
        Query(description="Outstanding invoices by days past due. `current` is not due yet."),
    ] = None,
    currency: Annotated[Currency | None, Query(description="An ISO 4217 currency code.")] = None,
    search: Annotated[
        str | None,
        Query(
            max_length=200,
            description="The beginning of an invoice number, or part of a customer's name or key.",
        ),
    ] = None,
) -> InvoiceFilter:
    return InvoiceFilter(customer, period, status, age, currency, search)


Filtered = Annotated[InvoiceFilter, Depends(_invoice_filter)]


class BilledCustomer(CustomerRef):
    """The customer as it was when the invoice was created."""

    email: str = Field(examples=["billing@acme.example"])
    billing_address: str = Field(examples=["12 Harbour Street\nBristol BS1 4QA"])


class InvoiceIssuer(BaseModel):
    """The issuer as it was when the invoice was created."""

    name: str = Field(examples=["Tallybook Ltd"])
    address: str = Field(examples=["1 Ledger Lane\nLondon EC1A 1AA"])
    email: str = Field(examples=["billing@tallybook.example"])
    payment_instructions: str = Field(examples=["IBAN GB33 BUKB 2020 1555 5555 55"])


class InvoiceSummary(BaseModel):
    """An invoice in a list: an `Invoice` without its lines."""

    number: str = Field(examples=["ACME-0001"])
    customer: BilledCustomer
    period: Period
    currency: Currency
    total: Money
    issued_at: Timestamp
    due_on: Date = Field(description="The last day to pay, in UTC.")
    payment_status: PaymentStatus
    paid: Money = Field(description="The payments, from credit too, less reversals.")
    balance: Money = Field(description="The amount left to pay.")
    content_sha256: Sha256


class SkippedNumbers(BaseModel):
    """Invoice numbers that the customer got before the database was restored from an older backup."""

    first: str = Field(examples=["ACME-0010"])
    last: str = Field(examples=["ACME-0012"])


class Invoice(InvoiceSummary):
    """What a customer owes for one billing period. Apart from payments, it never changes.

    `chain_ok` is true if the content still matches `content_sha256`, and the customer's previous invoice
    still has the hash `previous_sha256`.
    """

    issuer: InvoiceIssuer
    lines: list[InvoiceLine]
    previous_sha256: Sha256 | None
    chain_ok: bool
    gap_before: SkippedNumbers | None = Field(
        description="Numbers that were skipped right before this one. `previous_sha256` is the hash of the"
        " statement that says so."
    )


class InvoicePreview(BaseModel):
    """The upcoming invoice as it would be at `as_of`. Nothing is stored."""

    customer: CustomerRef
    period: Period
    currency: Currency
    lines: list[InvoiceLine]
    total: Money
    credit_available: Money = Field(description="The customer's credit.")
    credit_applied: Money = Field(description="The part of the credit that will be applied.")
    amount_due: Money = Field(description="What is left to pay.")
    as_of: Timestamp


class NewInvoice(Body):
    """The customer to invoice, and the billing period."""

    customer: str = Field(examples=["acme"], description="The customer's ID or key.")
    period: Period


@router.post(
    "/invoices",
    status_code=201,
    responses=refusals(
        "customer_not_found", "invoice_exists", "period_open", "earlier_period_open", "nothing_to_invoice",
        "issuer_incomplete", "idempotency_conflict",
    ),
)  # fmt: skip
def create_invoice(call: Caller, once: OnceOnly, body: NewInvoice) -> Invoice:
    """Generate a customer's invoice for a month that has ended.

    This closes the month for the customer. Usage that is reported or corrected for it afterwards is billed on
    the next invoice. If the customer has credit, it pays the invoice as far as it goes. A month is invoiced once: without an `Idempotency-Key`, a retry returns 409
    `invoice_exists`, which names the invoice.
    """

    def describe(created: InvoiceDetail) -> Created[Invoice]:
        return Created(invoice_of(created), f"/api/v1/invoices/{created.number}")

    if repeated := once.repeat(Permission.INVOICE, Invoice):
        return repeated
    try:
        customer_id = call.do(invoicing.close_to_invoice, body.customer, body.period)
        return once.create(
            Permission.INVOICE, Invoice, describe,
            invoicing.create_invoice, body.customer, customer_id, body.period,
        )  # fmt: skip
    except Conflict:
        # A concurrent request with the same key may have been faster.
        if repeated := once.repeat(Permission.INVOICE, Invoice):
            return repeated
        raise


@router.get("/invoices", responses=refusals("customer_not_found"))
def list_invoices(call: Caller, paged: Paged, invoice_filter: Filtered) -> Page[InvoiceSummary]:
    """List invoices, newest period first."""
    return page_of(call.do(invoices.list_invoices, invoice_filter, **paged), summary_of)


@router.get("/customers/{customer}/invoices", responses=refusals("customer_not_found"))
def list_invoices_of_customer(
    call: Caller, paged: Paged, customer: str, period: PeriodQuery = None, status: StatusQuery = None
) -> Page[InvoiceSummary]:
    """List a customer's invoices, newest period first."""
    invoice_filter = InvoiceFilter(customer=customer, period=period, status=status)
    return page_of(call.do(invoices.list_invoices, invoice_filter, **paged), summary_of)


@router.get(
    "/customers/{customer}/invoice-preview",
    responses=refusals(
        "customer_not_found", "plan_not_found", "currency_mismatch", "plan_archived", "period_closed",
        "usage_recorded", "usage_unpriced", "too_many_changes", "invoice_exists",
    ),
)  # fmt: skip
def preview_invoice(
    call: Caller,
    customer: str,
    period: Annotated[Period | None, Query(description="Defaults to the current month.")] = None,
    plan_id: Annotated[
        str | None, Query(description="Preview a change to this plan from the day `effective_from` on.")
    ] = None,
    effective_from: Annotated[Day | None, Query()] = None,
    cancel: Annotated[
        bool, Query(description="Preview a cancellation from the day `effective_from` on.")
    ] = False,
    confirm_unpriced: Annotated[bool, Query(description="Allow recorded usage to lose its price.")] = False,
) -> InvoicePreview:
    """Preview a customer's upcoming invoice: its lines and total as of now.

    With a plan or a cancellation, the preview shows what the invoice would become. Nothing is saved, and a
    change that can't be saved is refused with the same error.
    """
    change = _change_of(plan_id, effective_from, cancel=cancel, confirm_unpriced=confirm_unpriced)
    preview = call.do(previews.preview_invoice, customer, period, change)
    return InvoicePreview(
        customer=CustomerRef(
            id=preview.customer_public_id, key=preview.customer_key, name=preview.customer_name
        ),
        period=preview.period_start,
        currency=preview.currency,
        lines=lines_of(preview.lines, preview.currency),
        total=major_text(preview.total_minor, preview.currency),
        credit_available=major_text(preview.credit_available_minor, preview.currency),
        credit_applied=major_text(preview.credit_applied_minor, preview.currency),
        amount_due=major_text(preview.due_minor, preview.currency),
        as_of=preview.as_of,
    )


def _change_of(
    plan_id: str | None, effective_from: date | None, *, cancel: bool, confirm_unpriced: bool
) -> PlanChange | None:
    """Return the change that the query describes, if any. Raises Invalid and NotFound."""
    if plan_id is not None and cancel:
        raise Invalid("plan_id", "not_with_cancel")
    if effective_from is None:
        if plan_id is not None or cancel:
            raise Invalid("effective_from", "missing")
        return None
    if cancel:
        return PlanChange(None, effective_from, confirm_unpriced)
    if plan_id is None:
        raise Invalid("plan_id", "missing")
    return PlanChange(get_number("plan", plan_id, "plan"), effective_from, confirm_unpriced)


_COLUMNS = (
    "number", "customer_key", "customer_name", "period", "currency", "total", "paid", "balance",
    "payment_status", "issued_at", "due_on", "content_sha256",
)  # fmt: skip


@router.get("/invoices.csv", response_class=CsvFile, responses=DESCRIBED | refusals("customer_not_found"))
def export_invoices(call: Caller, invoice_filter: Filtered) -> CsvFile:
    """Export invoices as CSV, newest period first.

    The file is UTF-8 with a byte order mark. Text that starts with `=`, `+`, `-`, `@` or an
    apostrophe is preceded by an apostrophe, so that no spreadsheet runs it as a formula.
    """
    period = label(invoice_filter.period) if invoice_filter.period else None
    parts = [
        "invoices",
        period,
        invoice_filter.customer,
        invoice_filter.status,
        invoice_filter.age,
        invoice_filter.currency,
    ]
    name = "-".join(part for part in parts if part)
    return csv_file(call, f"{name}.csv", _COLUMNS, _cells, export.read_invoices, invoice_filter)


# Registered before `/invoices/{number}`, which would match it too.
@router.get(
    "/invoices/{number}.pdf",
    response_class=Response,
    responses={
        200: {"content": {"application/pdf": {}}, "description": "The invoice as a PDF."},
        **refusals("invoice_not_found"),
    },
)
def get_invoice_pdf(call: Caller, number: str) -> Response:
    """Download an invoice as a PDF, with its payment status as of today."""
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
    line: Annotated[
        WholeNumber | None,
        Query(ge=1, le=32767, description="List only the events of the line with this number."),
    ] = None,
) -> Page[UsageEvent]:
    """List the usage events that an invoice charges, ordered by time.

    Each has the quantity that was first recorded. The invoice also charges the differences of its
    corrections, which `/invoices/{number}/corrections` lists.
    """
    return page_of(call.do(line_usage.list_invoice_events, number, line_number=line, **paged), usage_event)


@router.get("/invoices/{number}/corrections", responses=refusals("invoice_not_found", "line_not_found"))
def list_invoice_corrections(
    call: Caller,
    paged: Paged,
    number: str,
    line: Annotated[
        WholeNumber | None,
        Query(ge=1, le=32767, description="List only the corrections of the line with this number."),
    ] = None,
) -> Page[Correction]:
    """List the corrections of usage that an invoice charges, ordered by the time of their events."""
    page = call.do(line_usage.list_invoice_corrections, number, line_number=line, **paged)
    return page_of(page, correction_of)


def summary_of(row: InvoiceRow) -> InvoiceSummary:
    """Convert an invoice for a list."""
    return InvoiceSummary(
        number=row.number,
        customer=BilledCustomer(id=row.customer_public_id, **row.customer._asdict()),
        period=row.period_start,
        currency=row.currency,
        total=major_text(row.total_minor, row.currency),
        issued_at=row.issued_at,
        due_on=row.due_on,
        payment_status=row.payment_status,
        paid=major_text(row.paid_minor, row.currency),
        balance=major_text(row.balance_minor, row.currency),
        content_sha256=row.content_sha256,
    )


def invoice_of(detail: InvoiceDetail) -> Invoice:
    """Convert an invoice with its lines."""
    return Invoice(
        **dict(summary_of(detail)),
        issuer=InvoiceIssuer(**detail.issuer._asdict()),
        lines=lines_of(detail.lines, detail.currency),
        previous_sha256=detail.previous_sha256,
        chain_ok=detail.chain_ok,
        gap_before=SkippedNumbers(first=detail.gap_before[0], last=detail.gap_before[1])
        if detail.gap_before
        else None,
    )


def _cells(row: InvoiceRow) -> tuple[Cell, ...]:
    return (
        row.number, row.customer.key, row.customer.name, label(row.period_start), row.currency,
        to_major(row.total_minor, row.currency), to_major(row.paid_minor, row.currency),
        to_major(row.balance_minor, row.currency), row.payment_status, row.issued_at, row.due_on,
        row.content_sha256,
    )  # fmt: skip
