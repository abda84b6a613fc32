"""The command line: `billing serve`, `migrate`, `demo`, `user`, `import-usage`, `invoice-run`, `verify`."""

from __future__ import annotations

import csv
import dataclasses
import getpass
import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import psycopg
import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from sqlalchemy.exc import OperationalError

from billing_app.database.embedded.cluster import EmbeddedPostgresError
from billing_app.database.migrations import is_current, migrate
from billing_app.database.privileges import refuse_unsafe_role
from billing_app.database.provision import Urls, provisioned
from billing_app.database.session import Database
from billing_app.domain.actor import Actor, Role, system
from billing_app.domain.periods import label, parse_period
from billing_app.domain.rules import BrokenRule
from billing_app.errors import BillingError, Invalid
from billing_app.server.garbage import spare_what_is_loaded
from billing_app.settings import Settings
from billing_app.wording.refusals import reason_sentence, refusal_sentence

app = typer.Typer(
    help="Tallybook: usage in, proved invoices out.", no_args_is_help=True, pretty_exceptions_enable=False
)
users = typer.Typer(help="The people who may sign in.", no_args_is_help=True)
app.add_typer(users, name="user")

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON, and nothing else.")]


def main() -> None:
    """The console script: every known failure is one line on standard error and exit code 1."""
    # Ended by a signal or not, what is open is left in order: the embedded database above all.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    spare_what_is_loaded()
    try:
        app()
    except BillingError as error:
        _fail(f"{refusal_sentence(error)} [{error.code}]")
    except ValidationError as error:
        _fail("; ".join(_setting_fault(each) for each in error.errors()))
    except (OperationalError, psycopg.OperationalError) as error:
        reason = getattr(error, "orig", error)
        _fail(f"the database can't be reached: {str(reason).splitlines()[0]}")
    except (EmbeddedPostgresError, PermissionError, RuntimeError) as error:
        _fail(str(error))


def _fail(message: str) -> NoReturn:
    err.print(f"billing: {message}", markup=False, soft_wrap=True)
    sys.exit(1)


def _setting_fault(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    return f"{where}: {error['msg']}" if where else error["msg"].removeprefix("Value error, ")


def operator() -> Actor:
    """The system, naming the operating system's user."""
    return system(f"cli:{getpass.getuser()}")


@contextmanager
def opened(settings: Settings | None = None) -> Iterator[Database]:
    """The database of the settings, at the newest revision, as the application's role.

    Migrates it first where the owner's access is known: embedded, or DATABASE_OWNER_URL set.
    Raises RuntimeError when it is behind and that is not so, PermissionError for an unsafe role.
    """
    settings = settings or Settings()
    with provisioned(settings) as urls:
        database = Database(urls.application)
        try:
            _bring_up_to_date(settings, urls, database)
            with database.engine.connect() as connection:
                refuse_unsafe_role(connection)
            yield database
        finally:
            database.close()


def _bring_up_to_date(settings: Settings, urls: Urls, database: Database) -> None:
    with database.engine.connect() as connection:
        if is_current(connection):
            return
    if settings.database_url and not settings.database_owner_url:
        raise RuntimeError(
            "the database is not at this version's schema: run `billing migrate` with "
            "DATABASE_OWNER_URL set to the owner of its tables"
        )
    migrate(urls)


@app.command()
def serve(
    dev: Annotated[bool, typer.Option("--dev", help="Hot reload, for working on the pages.")] = False,
) -> None:
    """Serve the pages and the API until Ctrl-C."""
    from billing_app.server import serving
    from billing_app.services.identity.demo_accounts import DEMO_USERS

    settings = Settings()
    with opened(settings) as database:
        _first_admin(settings, database)
        if settings.demo:
            _load_demo(database)

        def ready() -> None:
            out.print(f"\nTallybook is at [bold]{settings.url()}[/bold]   (Ctrl-C stops it)")
            if settings.demo:
                _print_accounts([(user.role, user.email, user.password) for user in DEMO_USERS])

        if dev:
            serving.serve_dev(settings, database.url, ready)
        else:
            serving.serve(settings, database.url, ready)


def _first_admin(settings: Settings, database: Database) -> None:
    from billing_app.services.identity.users import make_first_admin

    email, password = settings.admin_email, settings.admin_password
    if email and password:
        actor = operator()
        with database.transaction(actor) as session:
            make_first_admin(session, actor, email, password.get_secret_value())


def _load_demo(database: Database) -> bool:
    from billing_app.demo import load_demo

    with err.status("Loading the demo: twelve months of a business ..."):
        return load_demo(database) is not None


def _print_accounts(accounts: list[tuple[str, str, str]]) -> None:
    table = Table("role", "email", "password", title="Demo accounts", title_justify="left")
    for account in accounts:
        table.add_row(*account)
    out.print(table)


@app.command("migrate")
def migrate_command() -> None:
    """Bring the database's schema up to date, as its owner."""
    settings = Settings()
    with provisioned(settings) as urls:
        migrate(urls)
    out.print("The schema is up to date.")


@app.command()
def demo() -> None:
    """Load the demo into an empty database."""
    from billing_app.services.identity.demo_accounts import DEMO_USERS

    with opened() as database:
        loaded = _load_demo(database)
    if not loaded:
        _fail("the database is not empty: the demo is only loaded into an empty one")
    _print_accounts([(user.role, user.email, user.password) for user in DEMO_USERS])


@users.command("add")
def add_user(
    email: str,
    name: Annotated[str, typer.Option(help="The person's name.")],
    role: Annotated[Role, typer.Option(help="What the person may do.")],
    as_json: AsJson = False,
) -> None:
    """Add a person; prints a one-time password, to be changed at the first sign-in."""
    from billing_app.services.identity.users import create_user

    actor = operator()
    with opened() as database, database.transaction(actor) as session:
        made = create_user(session, actor, email=email, name=name, role=role)
    facts = {"id": made.user.public_id, "email": made.user.email, "one_time_password": made.one_time_password}
    if as_json:
        print(json.dumps(facts))
    else:
        out.print(f"{made.user.email} ({role}) was added. One-time password: {made.one_time_password}")


@app.command("import-usage")
def import_usage_command(
    file: Annotated[Path, typer.Argument(metavar="FILE.csv")],
    refused: Annotated[
        Path | None, typer.Option(help="Write the rows that were refused, with reasons, to this CSV file.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Record the usage events of a CSV file (or .csv.gz); importing it again records nothing twice.

    Columns: customer (id or key), idempotency_key, quantity, occurred_at (RFC 3339; empty means now).
    Exit code 1 when any row was refused.
    """
    from billing_app.jobs.file_import import import_usage

    refusals = _Refusals(refused, quiet=as_json)
    with opened() as database, refusals, _progress(as_json, DownloadColumn()) as progress:
        size = file.stat().st_size if file.is_file() else None
        task = progress.add_task(f"Importing {file.name}", total=size)
        summary = import_usage(
            database,
            operator(),
            file,
            on_refused=refusals.add,
            on_progress=lambda so_far: progress.update(task, completed=so_far.bytes_read),
        )
    facts = dataclasses.asdict(summary)
    del facts["bytes_read"]
    if as_json:
        print(json.dumps({**facts, "refused": refusals.kept}))
    else:
        out.print(
            f"{summary.rows:,} rows: {summary.recorded:,} recorded, {summary.duplicates:,} duplicates, "
            f"{summary.conflicts:,} conflicts, {summary.rejected:,} rejected"
        )
    if summary.conflicts or summary.rejected:
        raise typer.Exit(1)


class _Refusals:
    """Tells each refused row once: to the file when one is named, else on standard error."""

    SHOWN_MAX = 1_000

    def __init__(self, path: Path | None, *, quiet: bool) -> None:
        self.kept: list[dict[str, Any]] = []
        self._path, self._quiet, self._count = path, quiet, 0

    def __enter__(self) -> None:
        self._file = None
        if self._path:
            # What is no UTF-8 goes out as it came in.
            self._file = self._path.open("w", encoding="utf-8", errors="surrogateescape", newline="")
        self._writer = csv.writer(self._file) if self._file else None
        if self._writer:
            self._writer.writerow(
                ["line", "customer", "idempotency_key", "quantity", "occurred_at", "code", "reason"]
            )

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()
        elif self._count > self.SHOWN_MAX and not self._quiet:
            err.print(f"... and {self._count - self.SHOWN_MAX:,} more: --refused FILE keeps all of them")

    def add(self, row: Any) -> None:
        self._count += 1
        if self._writer:
            self._writer.writerow([row.line, *row.row, row.reason.code, reason_sentence(row.reason)])
        elif self._count <= self.SHOWN_MAX:
            self.kept.append(
                {"line": row.line, "code": row.reason.code, "detail": reason_sentence(row.reason)}
            )
            if not self._quiet:
                err.print(
                    f"line {row.line}: {reason_sentence(row.reason)} [{row.reason.code}]",
                    markup=False,
                    soft_wrap=True,
                )


@app.command("invoice-run")
def invoice_run_command(
    period: Annotated[str, typer.Argument(metavar="YYYY-MM")], as_json: AsJson = False
) -> None:
    """Close a month and make every customer's invoice; goes on where an earlier run was cut off.

    Exit code 1 when a customer could not be invoiced.
    """
    from billing_app.jobs.invoice_runs import run_invoices

    try:
        period_start = parse_period(period)
    except BrokenRule as broken:
        raise Invalid("period", broken.rule) from None
    with opened() as database, _progress(as_json, MofNCompleteColumn()) as progress:
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
        "failures": [dataclasses.asdict(each) for each in run.failures],
    }
    if as_json:
        print(json.dumps(facts))
    else:
        out.print(
            f"{period} ({run.public_id}, {run.status}): {run.made:,} made, {run.existing:,} already there, "
            f"{run.passed:,} passed over, {run.failed:,} failed"
        )
        if run.fault:
            err.print(f"given up: {reason_sentence(run.fault)}", markup=False, soft_wrap=True)
        for each in run.failures:
            err.print(
                f"{each.customer_key}: {reason_sentence(each.reason)} [{each.reason.code}]",
                markup=False,
                soft_wrap=True,
            )
    if run.failed or run.status != "done":
        raise typer.Exit(1)


@app.command("verify")
def verify_command(as_json: AsJson = False) -> None:
    """Recompute every invoice from events, plans and payments; exit code 1 on any difference."""
    from billing_app.jobs.verification import verify

    with opened() as database, _progress(as_json, TextColumn("{task.completed:,} customers")) as progress:
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


def _progress(quiet: bool, *columns: Any) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        *columns,
        TimeElapsedColumn(),
        console=err,
        disable=quiet or not err.is_terminal,
        transient=True,
    )
