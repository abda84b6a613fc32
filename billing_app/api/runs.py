"""Invoice runs: a month's invoices for everyone, made in the background."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from billing_app.api.wire.calls import Caller
from billing_app.api.wire.idempotency import Created, OnceOnly
from billing_app.api.wire.openapi import refusals
from billing_app.api.wire.pagination import Page, Paged, page_of
from billing_app.api.wire.routing import resource
from billing_app.api.wire.values import Body, Period, Timestamp
from billing_app.domain.actor import Permission
from billing_app.runtime import current
from billing_app.services.invoices import runs
from billing_app.services.invoices.runs import RunRow, RunSummary
from billing_app.wording.refusals import reason_sentence

router = resource("/invoice-runs", "Invoice runs")


class InvoiceRunSummary(BaseModel):
    """How far a run is: of `total` customers so many have their invoice now, had it already, had nothing
    to be invoiced, or could not be invoiced."""

    id: str = Field(examples=["run_5"])
    period: Period
    status: Literal["running", "done", "cancelled", "failed"]
    total: int = Field(examples=[1200], description="How many customers there were when it began.")
    made: int = Field(examples=[1180])
    existing: int = Field(examples=[12])
    passed: int = Field(examples=[7])
    failed: int = Field(examples=[1])
    started_by: str = Field(examples=["usr_2"])
    started_at: Timestamp
    finished_at: Timestamp | None
    fault: str | None = Field(description="Why it was given up, for one that failed; else null.")


class RunFailure(BaseModel):
    """A customer that could not be invoiced, and why."""

    customer: str = Field(examples=["acme"], description="The customer's key.")
    code: str = Field(examples=["earlier_period_open"])
    detail: str


class InvoiceRun(InvoiceRunSummary):
    """A run, with the first 200 of its failures."""

    failures: list[RunFailure]


class NewRun(Body):
    """Which month to invoice."""

    period: Period


@router.get("")
def list_runs(call: Caller, paged: Paged) -> Page[InvoiceRunSummary]:
    """List runs, the newest first."""
    return page_of(call.do(runs.list_runs, **paged), lambda run: InvoiceRunSummary(**_summary_fields(run)))


@router.post(
    "",
    status_code=202,
    responses=refusals("period_open", "issuer_incomplete", "run_ended", "idempotency_conflict"),
)
def start_run(once: OnceOnly, body: NewRun) -> InvoiceRun:
    """Start a run that makes every customer's invoice for a month.

    It goes on in the server, also after a restart. While one is under way for the month, it is
    answered with; run again after the end, it makes what is missing and nothing twice. One that
    fails again and again is given up: it is `failed`, and `fault` says why.
    """

    def describe(run: RunRow) -> Created[InvoiceRun]:
        return Created(run_of(run), f"/api/v1/invoice-runs/{run.public_id}", status=202)

    started = once.create(Permission.INVOICE, InvoiceRun, describe, runs.start_run, body.period)
    current().background.wake()
    return started


@router.get("/{run}", responses=refusals("run_not_found"))
def get_run(call: Caller, run: str) -> InvoiceRun:
    """Get a run: how far it is, and what came of it."""
    return run_of(call.do(runs.get_run, run))


@router.post("/{run}/cancel", responses=refusals("run_not_found"))
def cancel_run(call: Caller, run: str) -> InvoiceRun:
    """Cancel a run: it stops within moments, and what was made stays. A run that has ended is left as it is."""
    return run_of(call.do(runs.cancel_run, run))


def run_of(row: RunRow) -> InvoiceRun:
    """The run as it goes out."""
    return InvoiceRun(
        **_summary_fields(row),
        failures=[
            RunFailure(customer=each.customer_key, code=each.reason.code, detail=reason_sentence(each.reason))
            for each in row.failures
        ],
    )


def _summary_fields(row: RunSummary) -> dict[str, Any]:
    return {
        "id": row.public_id,
        "period": row.period_start,
        "status": row.status,
        "total": row.total,
        "made": row.made,
        "existing": row.existing,
        "passed": row.passed,
        "failed": row.failed,
        "started_by": row.started_by,
        "started_at": row.started_at,
        "finished_at": row.finished_at,
        "fault": reason_sentence(row.fault) if row.fault else None,
    }
