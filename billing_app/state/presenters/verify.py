"""The result of a verification, as its page shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from zoneinfo import ZoneInfo

from billing_app.services.audit.names import Named
from billing_app.services.verification.report import AwaitingInvoice, Counts, Discrepancy, Report, StatedGap
from billing_app.services.verification.verifications import VerificationRow
from billing_app.state.kit import address, text
from billing_app.state.presenters.audit_entries import describe_actor_id
from billing_app.wording.discrepancies import discrepancy_sentence, number_gap_sentence, subject_name


@dataclass(frozen=True)
class Verdict:
    """The result of the last verification. `outcome` is `good`, `bad`, or empty before the first one."""

    outcome: str = ""
    title: str = ""
    by: str = ""
    at: str = ""
    at_utc: str = ""
    took: str = ""


@dataclass(frozen=True)
class Check:
    """One thing that was checked, how many there are, and what was found.

    `mark` is `good` or `bad`, or empty if only the discrepancies tell.
    """

    title: str = ""
    count: str = ""
    explanation: str = ""
    outcome: str = ""
    mark: str = ""


@dataclass(frozen=True)
class DiscrepancyItem:
    """One discrepancy. `href` leads to its invoice or customer, if it has one."""

    subject: str = ""
    href: str = ""
    sentence: str = ""


@dataclass(frozen=True)
class AwaitingItem:
    """A closed month of a customer that has no invoice yet."""

    customer: str = ""
    href: str = ""
    month: str = ""


@dataclass(frozen=True)
class GapItem:
    """Invoice numbers of a customer that were skipped after a restore."""

    customer: str = ""
    href: str = ""
    sentence: str = ""


@dataclass(frozen=True)
class Progress:
    """The running verification: its progress as numbers for the bar and as text."""

    done: int = 0
    total: int = 1
    caption: str = ""
    by: str = ""


def verdict_of(row: VerificationRow, names: Mapping[str, Named], zone: ZoneInfo) -> Verdict:
    """Build the verdict of a finished verification."""
    assert row.finished_at
    found = f"{count_discrepancies(row.report)} found"
    return Verdict(
        outcome="good" if row.ok else "bad",
        title="No discrepancies" if row.ok else found,
        by=_starter(row, names),
        at=text.timestamp(row.started_at, zone),
        at_utc=text.timestamp_utc(row.started_at),
        took=_duration(row.finished_at - row.started_at),
    )


def progress_of(row: VerificationRow, customers: int, names: Mapping[str, Named]) -> Progress:
    """Build the progress of a running verification, out of so many customers."""
    done, total = row.report.checked.customers, max(1, customers)
    return Progress(
        done=min(done, total),
        total=total,
        caption=f"{done:,} of {text.counted(customers, 'customer')}",
        by=f"Started by {_starter(row, names)}.",
    )


def count_discrepancies(report: Report) -> str:
    """Write the number of discrepancies: `1 discrepancy`, `60 discrepancies`."""
    return text.counted(report.discrepancy_count, "discrepancy", "discrepancies")


def list_checks(report: Report) -> list[Check]:
    """List what was checked, how many of each, and what was found."""
    checked = report.checked
    mark = "good" if report.ok else ""
    return [
        _event_check(checked, mark),
        Check(
            title="Invoices",
            count=f"{checked.invoices:,}",
            explanation="Lines, totals and numbers match the events and plans. No invoice was altered.",
            outcome=f"{text.counted(checked.lines, 'line')} recomputed",
            mark=mark,
        ),
        Check(
            title="Usage months",
            count=f"{checked.usage_months:,}",
            explanation="All charges for a usage month add up to its price, including late usage.",
            outcome="Months of all customers",
            mark=mark,
        ),
        Check(
            title="Payments",
            count=f"{checked.paid_invoices:,}",
            explanation="No invoice is overpaid.",
            outcome="Invoices with payments",
            mark=mark,
        ),
        Check(
            title="Customers",
            count=f"{checked.customers:,}",
            explanation="No month is missing, and no invoice number without a stated reason.",
            outcome="All customers",
            mark=mark,
        ),
    ]


def _event_check(checked: Counts, mark: str) -> Check:
    is_wrong = checked.events_missing + checked.events_billed_twice > 0
    return Check(
        title="Usage events",
        count=f"{checked.events:,}",
        explanation="Each event is on exactly one invoice, or its period is still open.",
        outcome=(
            f"{checked.events_missing:,} on no invoice, {checked.events_billed_twice:,} on more than one"
            if is_wrong
            else f"{checked.events_billed_once:,} on one invoice, {checked.events_open:,} in open periods"
            + (f"; {checked.events_unpriced:,} without a price" if checked.events_unpriced else "")
        ),
        mark="bad" if is_wrong else mark,
    )


def discrepancy_item(discrepancy: Discrepancy) -> DiscrepancyItem:
    """Build the row of a discrepancy."""
    invoice, customer = discrepancy.subject.invoice, discrepancy.subject.customer
    href = ""
    if invoice:
        href = address.link(f"/invoices/{invoice}")
    elif customer:
        href = address.link(f"/customers/{customer.key}")
    name = subject_name(discrepancy) or "No customer"
    return DiscrepancyItem(name, href, discrepancy_sentence(discrepancy))


def awaiting_item(month: AwaitingInvoice) -> AwaitingItem:
    """Build the row of a closed month without an invoice."""
    key = month.customer.key
    return AwaitingItem(key, address.link(f"/customers/{key}"), text.month(month.period_start))


def gap_item(gap: StatedGap) -> GapItem:
    """Build the row of skipped invoice numbers."""
    key = gap.customer.key
    return GapItem(key, address.link(f"/customers/{key}"), number_gap_sentence(gap))


def _starter(row: VerificationRow, names: Mapping[str, Named]) -> str:
    actor = describe_actor_id(row.started_by, row.started_by, names)
    return f"{actor.name}, {actor.note}" if actor.note else actor.name


def _duration(time: timedelta) -> str:
    seconds = time.total_seconds()
    if seconds < 1:
        return "less than a second"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
