"""`billing import-usage`."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import DownloadColumn

from billing_app.cli.access import open_database, operator
from billing_app.cli.console import AsJson, err, out, print_error, progress_bar
from billing_app.jobs.file_import import import_usage
from billing_app.wording.refusals import reason_sentence

commands = typer.Typer()


@commands.command("import-usage")
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
    refusals = _Refusals(refused, quiet=as_json)
    with open_database() as database, refusals, progress_bar(DownloadColumn(), quiet=as_json) as progress:
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
                print_error(f"line {row.line}: {reason_sentence(row.reason)} [{row.reason.code}]")
