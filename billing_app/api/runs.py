"""Invoice runs: invoices for all customers, created in the background."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from billing_app.api.wire.calls import Caller
from billing_app.api.wire.idempotency import Created, OnceOnly
from billing_app.api.wire.openapi import refusals
from billing_app.api.wire.pagination import Page, Paged, page_of
from billing_app.api.wire.routing import resource
from billing_app.api.wire.values import Body, CustomerRef, Period, Timestamp
from billing_app.domain.actor import Permission
from billing_app.runtime import current
from billing_app.services.invoices import runs
from billing_app.services.invoices.runs import RunRow, RunSummary
from billing_app.services.shared.ids import public_id
from billing_app.wording.refusals import reason_sentence

router = resource("/invoice-runs", "Invoice runs")


class InvoiceRunSummary(BaseModel):
    """The progress of an invoice run."""

    id: str = Field(examples=["run_5"])
    period: Period
    status: Literal["running", "done", "cancelled", "failed"]
    total: int = Field(examples=[1200], description="How many customers existed when the run started.")
    created: int = Field(examples=[1180], description="Customers whose invoice this run created.")
    existing: int = Field(examples=[12], description="Customers who already had an invoice for the period.")
    skipped: int = Field(examples=[7], description="Customers with nothing to invoice in the period.")
    failed: int = Field(examples=[1], description="Customers who could not be invoiced.")
    started_by: str = Field(examples=["usr_2"])
    started_at: Timestamp
    finished_at: Timestamp | None
    fault: str | None = Field(description="Why the run failed, if its status is `failed`.")


class RunFailure(BaseModel):
    """A customer who could not be invoiced, and why."""

    customer: CustomerRef
    code: str = Field(examples=["earlier_period_open"])
    detail: str = Field(examples=["Invoice September 2026 for acme first."])


class InvoiceRun(InvoiceRunSummary):
    """An invoice run with its first 200 failures."""

    failures: list[RunFailure]


class NewRun(Body):
    """The month to invoice."""

    period: Period


@router.get("")
def list_runs(call: Caller, paged: Paged) -> Page[InvoiceRunSummary]:
    """List invoice runs, newest first."""
    return page_of(call.do(runs.list_runs, **paged), lambda run: InvoiceRunSummary(**_summary_fields(run)))


@router.post(
    "",
    status_code=202,
    responses=refusals("period_open", "issuer_incomplete", "run_ended", "idempotency_conflict"),
)
def start_run(once: OnceOnly, body: NewRun) -> InvoiceRun:
    """Start an invoice run, which invoices a month for all customers.

    It runs in the background and resumes after a restart of the server. If a run for the month is already in
    progress, it is returned instead. Running a month again creates only the missing invoices. A run that
    fails repeatedly ends with the status `failed`.
    """

    def describe(run: RunRow) -> Created[InvoiceRun]:
        return Created(run_of(run), f"/api/v1/invoice-runs/{run.public_id}", status=202)

    started = once.create(Permission.INVOICE, InvoiceRun, describe, runs.start_run, body.period)
    current().background.wake()
    return started


@router.get("/{run}", responses=refusals("run_not_found"))
def get_run(call: Caller, run: str) -> InvoiceRun:
    """Get an invoice run with its progress and failures."""
    return run_of(call.do(runs.get_run, run))


@router.post("/{run}/cancel", responses=refusals("run_not_found", "run_busy"))
def cancel_run(call: Caller, run: str) -> InvoiceRun:
    """Cancel an invoice run.

    Invoices that are being created are finished first. Once you get the response, the run creates no
    more invoices and its counts are final. Created invoices are kept. If the run has already ended,
    nothing changes.
    """
    return run_of(call.do(runs.cancel_run, run))


def run_of(row: RunRow) -> InvoiceRun:
    """Build the response for a run."""
    return InvoiceRun(
        **_summary_fields(row),
        failures=[
            RunFailure(
                customer=CustomerRef(
                    id=public_id("cus", each.customer_id), key=each.customer_key, name=each.customer_name
                ),
                code=each.reason.code,
                detail=reason_sentence(each.reason),
            )
            for each in row.failures
        ],
    )


def _summary_fields(row: RunSummary) -> dict[str, Any]:
    return {
        "id": row.public_id,
        "period": row.period_start,
        "status": row.status,
        "total": row.total,
        "created": row.created,
        "existing": row.existing,
        "skipped": row.skipped,
        "failed": row.failed,
        "started_by": row.started_by,
        "started_at": row.started_at,
        "finished_at": row.finished_at,
        "fault": reason_sentence(row.fault) if row.fault else None,
    }
