"""Invoice runs as pages show them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from billing_app.services.audit.names import Named
from billing_app.services.invoices.runs import RunFailure, RunSummary
from billing_app.state.kit import address, text
from billing_app.state.presenters.audit_entries import describe_actor_id
from billing_app.wording.refusals import reason_sentence


@dataclass(frozen=True)
class RunItem:
    """An invoice run: its progress as numbers for the bar and as text, and its counts."""

    run: str = ""
    href: str = ""
    period: str = ""
    status: str = ""
    processed: int = 0
    total: int = 0
    caption: str = ""
    created: str = ""
    existing: str = ""
    skipped: str = ""
    failed: str = ""
    has_skipped: bool = False
    has_failed: bool = False
    fault: str = ""
    started: str = ""
    started_utc: str = ""
    started_by: str = ""


@dataclass(frozen=True)
class FailureItem:
    """A customer that a run could not invoice, and why."""

    customer: str = ""
    customer_href: str = ""
    reason: str = ""


def run_item(run: RunSummary, names: Mapping[str, Named], zone: ZoneInfo) -> RunItem:
    """Build the row of a run."""
    # Customers created after the start are processed too.
    total = max(run.total, run.processed)
    return RunItem(
        run=run.public_id,
        href=address.link("/invoices", run=run.public_id),
        period=text.month(run.period_start),
        status=run.status,
        processed=run.processed,
        total=max(total, 1),
        caption=f"{run.processed:,} of {text.counted(total, 'customer')}",
        created=f"{run.created:,}",
        existing=f"{run.existing:,}",
        skipped=f"{run.skipped:,}",
        failed=f"{run.failed:,}",
        has_skipped=run.skipped > 0,
        has_failed=run.failed > 0,
        fault=reason_sentence(run.fault) if run.fault else "",
        started=text.timestamp(run.started_at, zone),
        started_utc=text.timestamp_utc(run.started_at),
        started_by=describe_actor_id(run.started_by, run.started_by, names).name,
    )


def failure_item(failure: RunFailure) -> FailureItem:
    """Build the row of a customer that could not be invoiced."""
    return FailureItem(
        customer=failure.customer_key,
        customer_href=address.link(f"/customers/{failure.customer_key}"),
        reason=reason_sentence(failure.reason),
    )
