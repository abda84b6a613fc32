"""`billing backup` and `billing restore`."""

from __future__ import annotations

import json
import re
from datetime import UTC
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import DownloadColumn, TextColumn

from billing_app.cli.access import open_database, operator
from billing_app.cli.console import AsJson, out, progress_bar
from billing_app.cli.failures import explain_failures
from billing_app.cli.invoices import print_report, report_as_json
from billing_app.database.backup.archive import Manifest, open_archive
from billing_app.database.backup.dumping import back_up
from billing_app.database.backup.errors import BackupUnusable
from billing_app.database.provision import Urls, provide_database
from billing_app.database.session import now
from billing_app.jobs.restoring import restore
from billing_app.jobs.verification import verify
from billing_app.services.invoices.number_gaps import reserve_issued_numbers
from billing_app.services.verification.report import Report
from billing_app.settings import Settings
from billing_app.wording.values import counted

commands = typer.Typer()

_COUNTED_TABLES = ("customer", "usage_event", "invoice", "payment")


@commands.command("backup")
def backup_command(
    file: Annotated[Path, typer.Argument(metavar="FILE")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace FILE if it exists.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a backup of the whole database to a file that only you can read.

    The server can keep running. The signing secret and the settings are not part of the backup.
    """
    settings = Settings()
    _require_owner(settings)
    with (
        explain_failures(settings, as_owner=True),
        provide_database(settings) as urls,
        progress_bar(DownloadColumn(), quiet=as_json) as progress,
    ):
        task = progress.add_task("Backing up", total=None)
        manifest = back_up(
            urls.owner,
            file,
            overwrite=overwrite,
            on_progress=lambda size: progress.update(task, completed=size),
        )
    size = file.stat().st_size
    if as_json:
        print(json.dumps({"file": str(file), "bytes": size, **_as_json(manifest)}))
        return
    out.print(f"Backup created: {file} ({size:,} bytes)", markup=False, soft_wrap=True)
    out.print(f"As of {_moment(manifest)}: {_counts(manifest)}", soft_wrap=True)


@commands.command("restore")
def restore_command(
    file: Annotated[Path, typer.Argument(metavar="FILE")],
    issued: Annotated[
        list[str],
        typer.Option(
            metavar="CUSTOMER=NUMBER",
            help="The last invoice number that a customer got before the restore, such as ACME=12 for "
            "ACME-0012. Numbers up to it are not used again. Repeat the option for more customers.",
        ),
    ] = [],  # noqa: B006 - typer copies it
    as_json: AsJson = False,
) -> None:
    """Restore a backup into an empty database, and verify the result.

    Exits with code 1 if there is a discrepancy.
    """
    settings = Settings()
    _require_owner(settings)
    last_issued = dict(map(_parse_issued, issued))
    # The embedded database keeps running in between.
    with explain_failures(settings, as_owner=True), provide_database(settings) as urls:
        manifest = _restore(urls, file, last_issued, quiet=as_json)
        report = _verify(settings, quiet=as_json)
    if as_json:
        print(json.dumps({"file": str(file), **_as_json(manifest), "verification": report_as_json(report)}))
    else:
        print_report(report)
        _print_outcome(file, manifest)
    if not report.ok:
        raise typer.Exit(1)


@commands.command("skip-numbers")
def skip_numbers_command(
    issued: Annotated[list[str], typer.Argument(metavar="CUSTOMER=NUMBER...")],
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask for confirmation.")] = False,
) -> None:
    """Keep invoice numbers that were issued before a recovery from being used again.

    ACME=12 skips the numbers up to ACME-0012. This can't be undone. Use it after a point-in-time recovery,
    and for customers who were created after the backup; `billing restore --issued` does the same.
    """
    last_issued = dict(map(_parse_issued, issued))
    if not yes:
        typer.confirm(f"Skip invoice numbers up to {', '.join(issued)}? This can't be undone", abort=True)
    actor = operator()
    with open_database() as database, database.transaction(actor) as session:
        gaps = [
            reserve_issued_numbers(session, actor, customer, last_issued=last, backup_of=now(session))
            for customer, last in last_issued.items()
        ]
    for customer, gap in zip(last_issued, gaps, strict=True):
        out.print(
            f"{customer}: {' to '.join(gap.numbers)} will not be used."
            if gap
            else f"{customer}: nothing to skip.",
            markup=False,
            soft_wrap=True,
        )


def _require_owner(settings: Settings) -> None:
    """Refuse to work with an external database as the application's role."""
    if settings.database_url and not settings.database_owner_url:
        raise BackupUnusable(
            "Set DATABASE_OWNER_URL to the role that owns the tables. The role of DATABASE_URL can neither read "
            "all of them nor create them."
        )


def _parse_issued(given: str) -> tuple[str, int]:
    """Read `ACME=12` as a customer and its last invoice number."""
    customer, _, number = given.rpartition("=")
    if not customer or not re.fullmatch("0*[1-9][0-9]{0,8}", number, re.ASCII):
        raise typer.BadParameter(
            f"{given!r} is not a customer's key and its last invoice number, such as ACME=12.",
            param_hint="CUSTOMER=NUMBER",
        )
    return customer, int(number)


def _restore(urls: Urls, file: Path, issued: dict[str, int], *, quiet: bool) -> Manifest:
    with progress_bar(DownloadColumn(), quiet=quiet) as progress:
        task = progress.add_task("Checking the file", total=None)
        with open_archive(
            file, lambda done, total: progress.update(task, completed=done, total=total)
        ) as archive:
            progress.reset(task, description="Restoring", total=None)
            restore(urls, archive, operator(), issued)
            return archive.manifest


def _verify(settings: Settings, *, quiet: bool) -> Report:
    with (
        open_database(settings) as database,
        progress_bar(TextColumn("{task.completed:,} customers"), quiet=quiet) as progress,
    ):
        task = progress.add_task("Verifying", total=None)
        return verify(
            database,
            operator(),
            lambda so_far: progress.update(task, completed=so_far.checked.customers),
            awaiting_is_discrepancy=False,
        )


def _print_outcome(file: Path, manifest: Manifest) -> None:
    lines = [f"Restored {file}: {_counts(manifest)}, as in the backup's manifest."]
    lines.append(
        f"The database is as of {_moment(manifest)}. Have the senders of usage repeat everything that they sent "
        "since then. Events that are already recorded are not counted twice."
    )
    lines.append(
        "Customers, plans, payments and other changes since then must be entered again. Users, sessions and API "
        "tokens that were disabled since then are active again."
    )
    for line in lines:
        out.print(line, markup=False, soft_wrap=True)


def _as_json(manifest: Manifest) -> dict[str, Any]:
    return {"as_of": manifest.taken_at.isoformat(), "schema": manifest.schema, "rows": manifest.rows}


def _counts(manifest: Manifest) -> str:
    rows = manifest.rows
    return ", ".join(counted(rows[table], table.replace("_", " ")) for table in _COUNTED_TABLES)


def _moment(manifest: Manifest) -> str:
    """Write when the backup was made, to the second below: what happened in that second must be repeated."""
    moment = manifest.taken_at.astimezone(UTC)
    return f"{moment:%b} {moment.day}, {moment:%Y, %H:%M:%S} UTC"
