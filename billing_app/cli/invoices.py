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
from billing_app.wording.refusals import reason_sentence

commands = typer.Typer()


@commands.command("invoice-run")
def invoice_run_command(
    period: Annotated[str, typer.Argument(metavar="YYYY-MM")], as_json: AsJson = False
) -> None:
    """Close a month and make every customer's invoice; goes on where an earlier run was cut off.

    Exit code 1 when a customer could not be invoiced.
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
            lambda so_far: progress.update(
                task,
                total=so_far.total,
                completed=so_far.made + so_far.existing + so_far.passed + so_far.failed,
            ),
        )
    facts = {
        **{name: getattr(run, name) for name in ("status", "total", "made", "existing", "passed", "failed")},
        "id": run.public_id,
        "period": label(run.period_start),
        "failures": [
            {
                "customer_key": each.customer_key,
                "code": each.reason.code,
                "detail": reason_sentence(each.reason),
            }
            for each in run.failures
        ],
    }
    if as_json:
        print(json.dumps(facts))
    else:
        out.print(
            f"{period} ({run.public_id}, {run.status}): {run.made:,} made, {run.existing:,} already there, "
            f"{run.passed:,} passed over, {run.failed:,} failed"
        )
        if run.fault:
            print_error(f"given up: {reason_sentence(run.fault)}")
        for each in run.failures:
            print_error(f"{each.customer_key}: {reason_sentence(each.reason)} [{each.reason.code}]")
    if run.failed or run.status != "done":
        raise typer.Exit(1)


@commands.command("verify")
def verify_command(as_json: AsJson = False) -> None:
    """Recompute every invoice from events, plans and payments; exit code 1 on any difference."""
    with (
        open_database() as database,
        progress_bar(TextColumn("{task.completed:,} customers"), quiet=as_json) as progress,
    ):
        task = progress.add_task("Verifying", total=None)
        report = verify(
            database, operator(), lambda so_far: progress.update(task, completed=so_far.customers)
        )
    if as_json:
        print(json.dumps({**dataclasses.asdict(report), "ok": report.ok}))
    else:
        _print_report(report)
    if not report.ok:
        raise typer.Exit(1)


def _print_report(report: Any) -> None:
    table = Table("checked", "", show_header=False, box=None)
    for what, number in (
        ("usage events", report.events),
        ("  billed once", report.events_billed_once),
        ("  billed twice", report.events_billed_twice),
        ("  missing", report.events_missing),
        ("  still open", report.events_open),
        ("customers", report.customers),
        ("invoices recomputed", report.invoices),
        ("lines recomputed", report.lines),
        ("usage months (arrival-order independence)", report.usage_months),
        ("paid invoices", report.paid_invoices),
        ("closed, not yet invoiced", len(report.awaiting_invoice)),
        ("differences", report.difference_count),
    ):
        table.add_row(what, f"{number:,}", style="bold" if what == "differences" else None)
    out.print(table)
    for month in report.awaiting_invoice if report.ok else ():
        out.print(f"closed, being invoiced: {month.customer_key} {month.period}", markup=False)
    for difference in report.differences:
        out.print(f"DIFFERENCE  {difference}", markup=False, soft_wrap=True)
