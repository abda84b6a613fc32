"""Verifications: everything recomputed in the background, and every difference told."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from billing_app.api.wire.calls import Caller
from billing_app.api.wire.idempotency import Created, OnceOnly
from billing_app.api.wire.openapi import refusals
from billing_app.api.wire.routing import resource
from billing_app.api.wire.values import Period, Timestamp
from billing_app.domain.actor import Permission
from billing_app.runtime import current
from billing_app.services.verification import verifications
from billing_app.services.verification.verifications import VerificationRow
from billing_app.wording.refusals import reason_sentence

router = resource("/verifications", "Verification")


class Checked(BaseModel):
    """How many of each were recomputed and compared, so far while it is under way.

    Every event is billed once, or still open (its month is not invoiced yet); one that is billed
    twice or missing is a difference. `usage_months` are held against arrival-order independence.
    """

    customers: int = 0
    events: int = 0
    events_billed_once: int = 0
    events_billed_twice: int = 0
    events_missing: int = 0
    events_open: int = 0
    invoices: int = 0
    lines: int = 0
    usage_months: int = 0
    paid_invoices: int = 0


class AwaitingInvoice(BaseModel):
    """A month that was closed and not yet invoiced; a difference unless it was about to be."""

    customer: str = Field(examples=["acme"], description="The customer's key.")
    period: Period


class Verification(BaseModel):
    """One verification. `ok` is null while it is under way, then whether everything agreed.

    One that can't be brought to its end is given up: it is `failed`, `ok` stays null and `fault` says why.
    """

    id: str = Field(examples=["ver_3"])
    status: Literal["running", "done", "failed"]
    started_by: str = Field(examples=["usr_2"])
    started_at: Timestamp
    finished_at: Timestamp | None
    ok: bool | None
    fault: str | None
    checked: Checked
    awaiting_invoice: list[AwaitingInvoice]
    difference_count: int
    differences: list[str] = Field(description="In words; the first 1,000.")


@router.post("", status_code=202, responses=refusals("idempotency_conflict"))
def start_verification(once: OnceOnly) -> Verification:
    """Start recomputing everything from events, plans and payments.

    It goes on in the server; after a restart it begins again. While one is under way, it is
    answered with.
    """

    def describe(started: VerificationRow) -> Created[Verification]:
        location = f"/api/v1/verifications/{started.public_id}"
        return Created(verification_of(started), location, status=202)

    started = once.create(Permission.VERIFY, Verification, describe, verifications.start_verification)
    current().background.wake()
    return started


@router.get("/latest", responses=refusals("verification_not_found"))
def get_latest(call: Caller) -> Verification:
    """Get the newest verification that came to its end."""
    return verification_of(call.do(verifications.get_latest))


@router.get("/{verification}", responses=refusals("verification_not_found"))
def get_verification(call: Caller, verification: str) -> Verification:
    """Get a verification, with what it has counted so far while it is under way."""
    return verification_of(call.do(verifications.get_verification, verification))


def verification_of(row: VerificationRow) -> Verification:
    """The verification as it goes out."""
    report = row.report
    return Verification(
        id=row.public_id,
        status=row.status,
        started_by=row.started_by,
        started_at=row.started_at,
        finished_at=row.finished_at,
        ok=row.ok,
        fault=reason_sentence(row.fault) if row.fault else None,
        checked=Checked(**{name: report[name] for name in Checked.model_fields if name in report}),
        awaiting_invoice=[
            AwaitingInvoice(customer=each["customer_key"], period=each["period"])
            for each in report.get("awaiting_invoice", ())
        ],
        difference_count=report.get("difference_count", 0),
        differences=report.get("differences", []),
    )
