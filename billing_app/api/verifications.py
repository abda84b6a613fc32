"""Verifications: recompute everything in the background, and report every discrepancy."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from pydantic import BaseModel, Field

from billing_app.api.wire import values
from billing_app.api.wire.calls import Caller
from billing_app.api.wire.idempotency import Created, OnceOnly
from billing_app.api.wire.openapi import refusals
from billing_app.api.wire.routing import resource
from billing_app.api.wire.values import Period, Timestamp
from billing_app.domain.actor import Permission
from billing_app.runtime import current
from billing_app.services.shared.ids import public_id
from billing_app.services.verification import report, verifications
from billing_app.services.verification.verifications import VerificationRow
from billing_app.wording.discrepancies import discrepancy_sentence
from billing_app.wording.refusals import reason_sentence

router = resource("/verifications", "Verification")


class Checked(BaseModel):
    """How many of each were checked, so far if the verification is running.

    Every event should be billed once, or be open, which means that its period is not invoiced yet.
    """

    customers: int
    events: int
    events_billed_once: int
    events_billed_twice: int = Field(description="Events on more than one invoice.")
    events_missing: int = Field(description="Events in an invoiced billing period that are on no invoice.")
    events_open: int = Field(description="Events whose billing period is not invoiced yet.")
    invoices: int
    lines: int
    usage_months: int = Field(
        description="Usage months per customer whose charges on all invoices were compared with their price."
    )
    paid_invoices: int = Field(description="Invoices with at least one payment.")
    events_unpriced: int = Field(
        description="Events on a meter that the plan of their day has no charge for. They cost nothing."
    )
    corrections: int = Field(description="Corrections of events.")


class AwaitingInvoice(BaseModel):
    """A closed month without an invoice. This is a discrepancy, unless the invoice is being generated."""

    customer: values.CustomerRef
    period: Period


class NumberGap(BaseModel):
    """Invoice numbers that a customer got before the database was restored from an older backup.

    They are not used again, and their invoices are not in the database. This is not a discrepancy.
    """

    customer: values.CustomerRef
    first: str = Field(examples=["ACME-0010"])
    last: str = Field(examples=["ACME-0012"])
    backup_of: Timestamp = Field(description="When the restored backup was made.")
    recorded_at: Timestamp = Field(description="When the backup was restored.")


class Discrepancy(BaseModel):
    """A stored value that contradicts the events, plans and payments."""

    customer: values.CustomerRef | None = Field(description="Null for rows that belong to no customer.")
    invoice: str | None = Field(
        examples=["ACME-0003"],
        description="The invoice number, or null if the discrepancy is not on an invoice.",
    )
    code: str = Field(examples=["wrong_total"], description="Stable, for programs.")
    facts: dict[str, Any] = Field(
        examples=[{}],
        description="The values involved, such as `found` and `expected`. They depend on the code.",
    )
    detail: str = Field(examples=["The total is not the sum of the lines."])


class Verification(BaseModel):
    """A verification. A verification that fails repeatedly ends with the status `failed`."""

    id: str = Field(examples=["ver_3"])
    status: Literal["running", "done", "failed"]
    started_by: str = Field(examples=["usr_2"])
    started_at: Timestamp
    finished_at: Timestamp | None
    ok: bool | None = Field(description="Whether there is no discrepancy. Null unless the status is `done`.")
    fault: str | None = Field(description="Why the verification failed, if its status is `failed`.")
    checked: Checked
    awaiting_invoice: list[AwaitingInvoice]
    number_gaps: list[NumberGap]
    discrepancy_count: int
    discrepancies: list[Discrepancy] = Field(description="The first 1,000 discrepancies.")


@router.post("", status_code=202, responses=refusals("idempotency_conflict"))
def start_verification(once: OnceOnly) -> Verification:
    """Start a verification, which recomputes everything from events, plans and payments.

    It runs in the background and starts over after a restart of the server. If a verification is already
    running, it is returned instead.
    """

    def describe(started: VerificationRow) -> Created[Verification]:
        location = f"/api/v1/verifications/{started.public_id}"
        return Created(verification_of(started), location, status=202)

    started = once.create(Permission.VERIFY, Verification, describe, verifications.start_verification)
    current().background.wake()
    return started


@router.get("/latest", responses=refusals("verification_not_found"))
def get_latest(call: Caller) -> Verification:
    """Get the newest verification that has a result."""
    return verification_of(call.do(verifications.get_latest))


@router.get("/{verification}", responses=refusals("verification_not_found"))
def get_verification(call: Caller, verification: str) -> Verification:
    """Get a verification, with its counts so far if it is running."""
    return verification_of(call.do(verifications.get_verification, verification))


def verification_of(row: VerificationRow) -> Verification:
    """Build the response for a verification."""
    return Verification(
        id=row.public_id,
        status=row.status,
        started_by=row.started_by,
        started_at=row.started_at,
        finished_at=row.finished_at,
        ok=row.ok,
        fault=reason_sentence(row.fault) if row.fault else None,
        checked=Checked(**dataclasses.asdict(row.report.checked)),
        awaiting_invoice=[
            AwaitingInvoice(customer=_customer_of(each.customer), period=each.period_start)
            for each in row.report.awaiting_invoice
        ],
        number_gaps=[
            NumberGap(**each._asdict() | {"customer": _customer_of(each.customer)})
            for each in row.report.number_gaps
        ],
        discrepancy_count=row.report.discrepancy_count,
        discrepancies=[_discrepancy_of(each) for each in row.report.discrepancies],
    )


def _discrepancy_of(found: report.Discrepancy) -> Discrepancy:
    customer = found.subject.customer
    return Discrepancy(
        customer=_customer_of(customer) if customer else None,
        invoice=found.subject.invoice,
        code=found.code,
        facts=values.wire_facts(found.facts),
        detail=discrepancy_sentence(found),
    )


def _customer_of(customer: report.CustomerRef) -> values.CustomerRef:
    return values.CustomerRef(id=public_id("cus", customer.customer_id), key=customer.key, name=customer.name)
