"""`billing invoice-run` and `billing verify`."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated, Any

import typer
from rich.progress import MofNCompleteColumn, TextColumn
from rich.table import Table

from billing_app.cli.access import open_database, operator
from billing_app.cli.console import AsJson, out, print_error, progress_bar
from billing_app.domain.periods import label, parse_period
from billing_app.domain.rules import BrokenRule
from billing_app.errors import Invalid
from billing_app.jobs.invoice_runs import run_invoices
from billing_app.jobs.verification import verify
from billing_app.services.invoices.runs import RunFailure, RunRow
from billing_app.services.verification.report import Report
from billing_app.wording.discrepancies import discrepancy_sentence, number_gap_sentence, subject_name
from billing_app.wording.refusals import reason_sentence

commands = typer.Typer()


@commands.command("invoice-run")
def invoice_run_command(
    period: Annotated[str, typer.Argument(metavar="YYYY-MM")], as_json: AsJson = False
) -> None:
    """Close a month and generate the invoices of all customers.

    An interrupted run is resumed. Exits with code 1 if a customer could not be invoiced.
    """
    try:
        period_start = parse_period(period)
    except BrokenRule as broken:
        raise Invalid("period", broken.rule) from None
    with open_database() as database, progress_bar(MofNCompleteColumn(), quiet=as_json) as progress:
        task = progress.add_task(f"Invoicing {period}", total=None)
        run = run_invoices(
            database,
            operator(),
            period_start,
            lambda so_far: progress.update(task, total=so_far.total, completed=so_far.processed),
        )
    if as_json:
        print(json.dumps(_run_as_json(run)))
    else:
        _print_run(run)
    if run.failed or run.status != "done":
        raise typer.Exit(1)


def _run_as_json(run: RunRow) -> dict[str, Any]:
    return {
        "id": run.public_id,
        "period": label(run.period_start),
        "status": run.status,
        "total": run.total,
        "created": run.created,
        "existing": run.existing,
        "skipped": run.skipped,
        "failed": run.failed,
        "fault": reason_sentence(run.fault) if run.fault else None,
        "failures": [_failure_as_json(each) for each in run.failures],
    }


def _failure_as_json(failure: RunFailure) -> dict[str, str]:
    return {
        "customer": failure.customer_key,
        "code": failure.reason.code,
        "detail": reason_sentence(failure.reason),
    }


def _print_run(run: RunRow) -> None:
    out.print(
        f"Invoice run {label(run.period_start)} ({run.public_id}, {run.status}): {run.created:,} created, "
        f"{run.existing:,} existing, {run.skipped:,} skipped, {run.failed:,} failed"
    )
    if run.fault:
        print_error(f"Invoice run failed: {reason_sentence(run.fault)}")
    for each in run.failures:
        print_error(f"{each.customer_key}: {reason_sentence(each.reason)} [{each.reason.code}]")


@commands.command("verify")
def verify_command(as_json: AsJson = False) -> None:
    """Recompute every invoice from events, plans and discounts, and compare.

    Exits with code 1 if there is a discrepancy.
    """
    with (
        open_database() as database,
        progress_bar(TextColumn("{task.completed:,} customers"), quiet=as_json) as progress,
    ):
        task = progress.add_task("Verifying", total=None)
        report = verify(
            database, operator(), lambda so_far: progress.update(task, completed=so_far.checked.customers)
        )
    if as_json:
        print(json.dumps(report_as_json(report)))
    else:
        print_report(report)
    if not report.ok:
        raise typer.Exit(1)


def report_as_json(report: Report) -> dict[str, Any]:
    """Return a verification's report as `--json` prints it."""
    return {
        "ok": report.ok,
        "checked": dataclasses.asdict(report.checked),
        "awaiting_invoice": [
            {"customer": each.customer.key, "period": label(each.period_start)}
            for each in report.awaiting_invoice
        ],
        "number_gaps": [
            {"customer": each.customer.key, "first": each.first, "last": each.last}
            for each in report.number_gaps
        ],
        "discrepancy_count": report.discrepancy_count,
        "discrepancies": [
            {
                "customer": each.subject.customer.key if each.subject.customer else None,
                "invoice": each.subject.invoice,
                "code": each.code,
                "detail": discrepancy_sentence(each),
            }
            for each in report.discrepancies
        ],
    }


def print_report(report: Report) -> None:
    """Print a verification's report: what was checked, and each discrepancy."""
    checked = report.checked
    table = Table("checked", "", show_header=False, box=None)
    for name, number in (
        ("usage events", checked.events),
        ("  on one invoice", checked.events_billed_once),
        ("  on more than one invoice", checked.events_billed_twice),
        ("  on no invoice", checked.events_missing),
        ("  in open periods", checked.events_open),
        ("  without a price", checked.events_unpriced),
        ("customers", checked.customers),
        ("invoices", checked.invoices),
        ("invoice lines", checked.lines),
        ("usage months", checked.usage_months),
        ("invoices with payments", checked.paid_invoices),
        ("closed months without an invoice", len(report.awaiting_invoice)),
        ("gaps in invoice numbers", len(report.number_gaps)),
        ("discrepancies", report.discrepancy_count),
    ):
        table.add_row(name, f"{number:,}", style="bold" if name == "discrepancies" else None)
    out.print(table)
    for month in report.awaiting_invoice if report.ok else ():
        out.print(
            f"{month.customer.key}: {label(month.period_start)} is closed and being invoiced", markup=False
        )
    for gap in report.number_gaps:
        out.print(f"{gap.customer.key}: {number_gap_sentence(gap)}", markup=False, soft_wrap=True)
    for each in report.discrepancies:
        name = subject_name(each)
        line = f"{name}: {discrepancy_sentence(each)}" if name else discrepancy_sentence(each)
        out.print(f"Discrepancy  {line}", markup=False, soft_wrap=True)
